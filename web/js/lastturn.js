// What can be done about the last turn: tell it again, go on, say something else, undo it, or "not what I asked".

import { byId, element } from "./dom.js";

const BUTTONS = [
  ["continue", "Go on from there"],
  ["not_faq", "That's not what I asked"],
  ["retry", "Tell it again"],
  ["edit", "Say something else"],
  ["undo", "Undo"],
];

export class LastTurn {
  #group = byId("last-turn");
  #buttons = new Map();

  /** `hooks`: edit(), undo(), retell(action). */
  constructor(hooks) {
    for (const [name, text] of BUTTONS) {
      const press = () => {
        byId("transcript").focus({ preventScroll: true }); // the buttons go away
        if (name === "edit") hooks.edit();
        else if (name === "undo") hooks.undo();
        else hooks.retell(name);
      };
      const button = element("button", { type: "button", className: "link", onclick: press }, text);
      this.#buttons.set(name, button);
      this.#group.append(button);
    }
  }

  update({ choices, script }) {
    // Under lines of the prologue they would stand in the wrong place.
    const possible = script.items.at(-1)?.turn === script.lastTurn ? choices : [];
    for (const [name, button] of this.#buttons) button.hidden = !possible.includes(name);
    this.#group.hidden = !possible.length;
  }
}
