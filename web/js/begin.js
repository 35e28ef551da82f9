// A new story: one ticket for each world and language that the house plays.

import { byId, element } from "./dom.js";
import { languageName } from "./words.js";

export class Begin {
  #dialog = byId("begin");
  #worlds = [];

  /** `hooks`: begin({ world, language }) or, where the house named no worlds, begin({}). */
  constructor(hooks) {
    byId("new-story").addEventListener("click", () => this.#dialog.showModal());
    this.#dialog.addEventListener("close", () => {
      const chosen = this.#dialog.returnValue;
      this.#dialog.returnValue = "";
      if (chosen === "any") hooks.begin({});
      else if (chosen) hooks.begin(this.#wanted(Number(chosen)));
    });
  }

  update({ house: { worlds } }) {
    if (worlds === this.#worlds && byId("worlds").children.length) return;
    this.#worlds = worlds;
    const languages = new Set(worlds.map(({ language }) => language));
    const tickets = worlds.map(({ title, language }, index) => this.#ticket(`${index}`, title, languages.size > 1 && language));
    byId("worlds").replaceChildren(...(tickets.length ? tickets : [this.#ticket("any", "New story")]));
  }

  #wanted(index) {
    const { name: world, language } = this.#worlds[index];
    return { world, language };
  }

  #ticket(value, title, language) {
    const ticket = element("button", { value, className: "ticket" }, element("span", {}, title));
    if (language) ticket.append(element("small", {}, languageName(language)));
    return ticket;
  }
}
