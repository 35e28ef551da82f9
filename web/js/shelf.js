// The shelf: every story of this browser, to be opened, renamed or deleted; and what can be done with the open one.

import { byId, element, setText } from "./dom.js";
import { stories } from "./stories.js";
import { ageText } from "./words.js";

const TITLE_CHARS = 80;

export class Shelf {
  #dialog = byId("shelf");
  #list = byId("shelf-list");
  #confirm = byId("confirm");
  #models = byId("model-choice");
  #doomed = null; // the story that is to be deleted, once confirmed
  #naming = null; // the story whose title is being written
  #here = null;

  /** `hooks`: open(story), rename(story, title), remove(story), model(name), copy(format), worldTitle(story). */
  constructor(hooks) {
    this.hooks = hooks;
    byId("stories").addEventListener("click", () => this.show());
    this.#models.addEventListener("change", () => hooks.model(this.#models.value));
    byId("copy-markdown").addEventListener("click", () => hooks.copy("markdown"));
    byId("copy-json").addEventListener("click", () => hooks.copy("json"));
    this.#confirm.addEventListener("close", () => {
      if (this.#confirm.returnValue === "delete") hooks.remove(this.#doomed);
      this.#confirm.returnValue = "";
    });
    this.#dialog.addEventListener("close", () => (this.#naming = null));
  }

  show() {
    this.note("");
    this.fill();
    this.#dialog.showModal();
  }

  get isOpen() {
    return this.#dialog.open;
  }

  close() {
    this.#dialog.close();
  }

  note(text) {
    setText(byId("shelf-note"), text);
  }

  update({ ready, credentials, house, script }) {
    byId("copies").hidden = !ready;
    byId("narrator").hidden = !ready || house.models.length < 2;
    this.#models.disabled = script.openTurn !== null;
    const names = [...this.#models.options].map(({ value }) => value).join("\n");
    if (names !== house.models.join("\n")) {
      this.#models.replaceChildren(...house.models.map((name) => element("option", { value: name }, name)));
    }
    if (document.activeElement !== this.#models) this.#models.value = house.model.name;
    const here = ready ? credentials.session_id : null;
    if (here !== this.#here) {
      this.#here = here;
      this.fill();
    }
  }

  /** Draws the list anew. */
  fill() {
    const all = stories();
    this.#list.replaceChildren(...all.map((story) => this.#row(story)));
    if (!all.length) this.#list.append(element("li", {}, "There is none yet."));
    this.#list.querySelector("input")?.focus();
  }

  #row(story) {
    const name = this.#name(story);
    const here = story.session_id === this.#here;
    if (this.#naming === story.session_id) return element("li", {}, this.#nameForm(story, name));
    const title = element("p", {}, element("b", {}, name), element("small", {}, this.#about(story, here)));
    const button = (text, onclick, label = `${text}: ${name}`) =>
      element("button", { type: "button", className: "link", onclick, ariaLabel: label }, text);
    const buttons = element(
      "span",
      { className: "row-buttons" },
      ...(here ? [] : [button("Open", () => this.hooks.open(story))]),
      button("Rename", () => this.#rename(story)),
      button("Delete", () => this.#ask(story)),
    );
    const row = element("li", {}, title, buttons);
    if (here) row.ariaCurrent = "true";
    return row;
  }

  #about(story, here) {
    const world = story.title ? `${this.hooks.worldTitle(story)} · ` : "";
    return world + (here ? "open here" : ageText(Date.now() - story.opened));
  }

  #name(story) {
    return story.title || this.hooks.worldTitle(story);
  }

  #rename(story) {
    this.#naming = story.session_id;
    this.fill();
  }

  #nameForm(story, name) {
    const input = element("input", { value: story.title, placeholder: name, maxLength: TITLE_CHARS });
    input.ariaLabel = `A new name for ${name}`;
    const form = element("form", { className: "naming" }, input, element("button", { className: "link" }, "Save"));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#naming = null;
      const title = input.value.trim();
      if (title && title !== story.title) this.hooks.rename(story, title);
      this.fill();
    });
    input.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.preventDefault(); // the shelf stays open
      this.#naming = null;
      this.fill();
    });
    return form;
  }

  #ask(story) {
    this.#doomed = story;
    setText(byId("doomed"), this.#name(story));
    this.#confirm.showModal();
  }
}
