// The transcript: one element per item of the script, made once and then kept up to date.

import { byId, element, setText } from "./dom.js";
import { OPENING } from "./script.js";
import { endingText, houseText, metricsText, speakerName } from "./words.js";

export class Transcript {
  #log = byId("transcript");
  #parts = new Map(); // key -> { node, update() }
  #script = null;

  /** `hooks`: turned(): another version of a turn is to be shown. */
  constructor(hooks) {
    this.hooks = hooks;
    this.speakers = {};
  }

  update({ script }) {
    if (script !== this.#script) this.#clear();
    this.#script = script;
    const { openTurn, items } = script;
    this.#log.ariaBusy = String(openTurn !== null);
    this.#log.ariaLive = openTurn ? "off" : "polite";
    const keys = new Set(items.map((item) => item.key));
    for (const [key, { node }] of this.#parts) {
      if (keys.has(key)) continue;
      node.remove();
      this.#parts.delete(key);
    }
    let last = "";
    for (const [index, item] of items.entries()) {
      if (!this.#parts.has(item.key)) this.#add(item, last, script);
      const { node, update } = this.#parts.get(item.key);
      if (this.#log.children[index] !== node) this.#log.insertBefore(node, this.#log.children[index] ?? null);
      update();
      last = item.kind === "line" ? item.entry.speaker : "";
    }
  }

  #clear() {
    this.#log.replaceChildren();
    this.#parts.clear();
  }

  #add(item, last, script) {
    const part = this[item.kind](item, script);
    const speaker = item.entry?.speaker ?? item.question?.speaker;
    part.node.classList.toggle("same-speaker", speaker !== undefined && speaker === last);
    this.#parts.set(item.key, part);
  }

  line({ entry }) {
    return { node: this.#spoken(entry.speaker, entry.text), update() {} };
  }

  exchange({ question, answer }) {
    const reply = answer ? element("span", {}, answer) : element("em", {}, "says nothing");
    const node = element(
      "div",
      { className: "exchange" },
      this.#spoken(question.speaker, question.text),
      element("p", { className: "spoken yours" }, element("b", { className: "speaker" }, "You"), reply),
    );
    return { node, update() {} };
  }

  whispers(_item, { prologue }) {
    const heard = element("ol");
    const node = element(
      "details",
      { className: "heard" },
      element("summary", {}, "Heard behind the curtain"),
      heard,
    );
    const update = () => {
      for (const { text } of prologue.whispers.slice(heard.children.length)) {
        heard.append(element("li", {}, text));
      }
    };
    return { node, update };
  }

  turn({ turn }) {
    const node = element("article", { className: "turn" });
    if (turn.id === OPENING) {
      node.classList.add("opening");
      node.append(element("h2", {}, "The curtain rises"));
    }
    const said = element("span");
    const yours = element("p", { className: "spoken yours" }, element("b", { className: "speaker" }, "You"), said);
    const house = element("p", { className: "house" });
    const prose = element("div", { className: "prose" });
    const foot = element("p", { className: "metrics" });
    const below = element("div", { className: "foot" }, foot);
    const page = this.#pager(turn, below);
    node.append(house, prose, below);
    const update = () => {
      const version = turn.viewed;
      const faq = version.source === "faq";
      node.dataset.status = version.open && version.frozen === null ? "open" : version.status;
      node.classList.toggle("faq", faq);
      if (version.said && !yours.isConnected) house.before(yours);
      setText(said, version.said);
      setText(house, faq ? houseText(version) : "");
      setText(prose, version.shown);
      setText(foot, version.open ? "" : [endingText(version), metricsText(version)].filter(Boolean).join(" · "));
      page();
    };
    return { node, update };
  }

  /** ‹ 2/3 ›: through the versions of a turn, at the beginning of `row` while there are several. */
  #pager(turn, row) {
    const turnPage = (by) => () => {
      turn.turnPage(by);
      this.hooks.turned();
    };
    const button = (text, ariaLabel, by) =>
      element("button", { type: "button", className: "page", ariaLabel, onclick: turnPage(by) }, text);
    const earlier = button("‹", "Earlier version", -1);
    const later = button("›", "Later version", 1);
    const where = element("span", { role: "status" });
    const pager = element("span", { className: "pager", role: "group", ariaLabel: "Versions" }, earlier, where, later);
    return () => {
      const { versions, viewed } = turn;
      const number = versions.indexOf(viewed) + 1;
      if (versions.length < 2) pager.remove();
      else if (!pager.isConnected) row.prepend(pager);
      earlier.ariaDisabled = String(number === 1); // not `disabled`: focus would get lost
      later.ariaDisabled = String(number === versions.length);
      setText(where, `${number}/${versions.length}`);
    };
  }

  #spoken(speaker, text) {
    const name = element("b", { className: "speaker" }, speakerName(speaker, this.speakers));
    return element("p", { className: "spoken" }, name, element("span", {}, text));
  }
}
