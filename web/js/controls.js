// The buttons around the story: pause and skip the prologue, come back to it, take a suggestion.

import { byId, element, setText } from "./dom.js";

export class Controls {
  #offered = byId("suggestions");
  #suggestions = [];

  /** `hooks`: pause(), skip(), say(text), comeBack(). */
  constructor(hooks) {
    this.hooks = hooks;
    byId("pause").addEventListener("click", hooks.pause);
    byId("skip").addEventListener("click", () => {
      byId("transcript").focus({ preventScroll: true }); // the button goes away
      hooks.skip();
    });
    byId("return").addEventListener("click", hooks.comeBack);
  }

  update({ ready, suggestions, script: { prologue, begun, openTurn } }) {
    byId("skip").hidden = !ready || prologue.done || begun;
    byId("pause").hidden = !ready || begun || (prologue.done && !prologue.whispers.length);
    setText(byId("pause"), prologue.paused ? "Go on" : "Pause");
    this.#offered.hidden = openTurn !== null;
    if (suggestions === this.#suggestions) return;
    this.#suggestions = suggestions;
    this.#offered.replaceChildren(...suggestions.map((text) => this.#suggestion(text)));
  }

  #suggestion(text) {
    const onclick = () => this.hooks.say(text);
    return element("button", { type: "button", className: "suggestion", onclick }, text);
  }
}
