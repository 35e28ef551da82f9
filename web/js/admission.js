// The form at the door: it asks the reader for the access code, or for the token of a sign-in.

import { byId, setText } from "./dom.js";

const WORDS = {
  "access-code": {
    title: "This house asks for a code",
    label: "Access code",
    note: "It is kept in this browser (in its localStorage), and sent to this house alone.",
  },
  jwt: {
    title: "This house asks you to sign in",
    label: "Token",
    note: "It is kept until this tab is closed (in its sessionStorage), and sent to this house alone.",
  },
};

export class Admission {
  #dialog = byId("admission");
  #input = byId("credential");
  #asked = null; // the promise of an answer, while the form is open
  #settle = () => {};

  /** `signIn`: where a token is to be had, or nothing. */
  constructor(signIn) {
    const link = byId("sign-in");
    link.hidden = !signIn || new URL(signIn, location.href).protocol !== "https:";
    if (!link.hidden) link.href = signIn;
    byId("admission-form").addEventListener("submit", () => this.#settle(this.#input.value.trim()));
    this.#dialog.addEventListener("close", () => this.#settle(null)); // after a submit: settled already
  }

  /** What the reader types; null if they close the form. Asked by several, it is still one form. */
  ask({ mode, complaint }) {
    this.#asked ??= this.#open(WORDS[mode], complaint).finally(() => (this.#asked = null));
    return this.#asked;
  }

  #open({ title, label, note }, complaint) {
    setText(byId("admission-title"), title);
    setText(byId("credential-label"), label);
    setText(byId("admission-note"), note);
    setText(byId("complaint"), complaint);
    this.#input.value = "";
    this.#input.ariaInvalid = String(Boolean(complaint));
    this.#dialog.showModal();
    return new Promise((resolve) => (this.#settle = (text) => resolve(text || null)));
  }
}
