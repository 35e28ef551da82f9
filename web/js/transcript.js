// The transcript: one element per item of the script, made once and then kept up to date.

import { byId, element, setText } from "./dom.js";
import { endingText, metricsText, speakerName } from "./words.js";

const OPENING = "opening";

export class Transcript {
  #log = byId("transcript");
  #parts = new Map(); // key -> { node, update() }
  #script = null;

  constructor(speakers) {
    this.speakers = speakers;
  }

  update({ script }) {
    if (script !== this.#script) this.#clear();
    this.#script = script;
    const { openTurn, items } = script;
    this.#log.ariaBusy = String(openTurn !== null);
    this.#log.ariaLive = openTurn ? "off" : "polite";
    let last = "";
    for (const item of items) {
      if (!this.#parts.has(item.key)) this.#add(item, last, script);
      this.#parts.get(item.key).update();
      last = item.kind === "line" ? item.entry.speaker : "";
    }
    if (this.#parts.size === items.length) return;
    const keys = new Set(items.map((item) => item.key));
    for (const [key, { node }] of this.#parts) {
      if (keys.has(key)) continue;
      node.remove();
      this.#parts.delete(key);
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
    this.#log.append(part.node);
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
    if (turn.said) {
      const said = element("span", {}, turn.said);
      node.append(
        element("p", { className: "spoken yours" }, element("b", { className: "speaker" }, "You"), said),
      );
    }
    const house = element("p", { className: "house" });
    const prose = element("div", { className: "prose" });
    const footer = element("p", { className: "metrics" });
    node.append(house, prose, footer);
    const update = () => {
      node.dataset.status = turn.open && turn.frozen === null ? "open" : turn.status;
      node.classList.toggle("faq", turn.source === "faq");
      setText(house, turn.source === "faq" ? "Answered by the house, without waking the model" : "");
      setText(prose, turn.shown);
      setText(footer, turn.open ? "" : [endingText(turn), metricsText(turn)].filter(Boolean).join(" · "));
    };
    return { node, update };
  }

  #spoken(speaker, text) {
    const name = element("b", { className: "speaker" }, speakerName(speaker, this.speakers));
    return element("p", { className: "spoken" }, name, element("span", {}, text));
  }
}
