// The composer: Enter sends, Shift+Enter breaks the line; Stop stands where Send stands, and Esc means the same.

import { byId, setText } from "./dom.js";
import { count } from "./codepoints.js";

const MOST = 4000; // code points in one turn
const WARN = 3600;

export class Composer {
  #form = byId("composer");
  #text = byId("say");
  #send = byId("send");
  #stop = byId("stop");
  #counter = byId("counter");
  #ready = false;
  #busy = false;
  #edited = null; // the turn that is to say something else

  /** `hooks`: say(text), edit(text), stop(), tooLong(characters, most). */
  constructor(hooks) {
    this.hooks = hooks;
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.#text.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#submit();
    });
    this.#text.addEventListener("input", () => this.#fit());
    // `detail` 2: the second half of a double click on Send, which Stop has just replaced.
    this.#stop.addEventListener("click", (event) => event.detail < 2 && hooks.stop());
    byId("leave-it").addEventListener("click", () => this.#leave());
    addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || document.querySelector("dialog[open]")) return;
      if (this.#edited) this.#leave();
      else if (this.#busy) hooks.stop();
    });
  }

  /** The next text is said instead of what `turn` says. */
  edit(turn) {
    this.#edited = turn;
    this.#text.value = turn.newest.said;
    setText(byId("edited"), turn.newest.said);
    this.#fit();
    this.#text.focus();
  }

  update({ ready, script: { openTurn, lastTurn, begun } }) {
    this.#ready = ready;
    if (this.#edited !== lastTurn || openTurn) this.#edited = null;
    byId("editing").hidden = !this.#edited;
    this.#busy = openTurn !== null;
    const hadFocus = [this.#send, this.#stop].includes(document.activeElement);
    this.#send.hidden = this.#busy;
    this.#send.disabled = !this.#ready;
    this.#stop.hidden = !this.#busy;
    this.#stop.disabled = this.#busy && openTurn.newest.frozen !== null;
    if (hadFocus && document.activeElement === document.body) this.#text.focus({ preventScroll: true });
    const placeholder = begun ? "What do you do?" : "Ask about Curtain";
    if (this.#text.placeholder !== placeholder) this.#text.placeholder = placeholder;
  }

  /** Puts a refused text back, unless something new was typed. */
  restore(text) {
    if (this.#text.value === "") this.#text.value = text;
    this.#fit();
  }

  #submit() {
    const text = this.#text.value.trim();
    if (!text || this.#busy || !this.#ready) return;
    const characters = count(text);
    if (characters > MOST) {
      this.hooks.tooLong(characters, MOST);
    } else {
      const edits = this.#edited !== null;
      this.#text.value = "";
      this.#edited = null;
      this.#fit();
      if (edits) this.hooks.edit(text);
      else this.hooks.say(text);
    }
  }

  #leave() {
    this.#edited = null;
    byId("editing").hidden = true;
    this.#text.value = "";
    this.#fit();
    this.#text.focus();
  }

  #fit() {
    this.#text.style.height = "auto";
    this.#text.style.height = `${this.#text.scrollHeight}px`;
    const characters = count(this.#text.value);
    setText(this.#counter, characters > WARN ? `${characters} of ${MOST} characters` : "");
  }
}
