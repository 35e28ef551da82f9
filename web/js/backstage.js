// What happens behind the curtain: how much of the model is really there, and what is whispered meanwhile.

import { byId, element, setText } from "./dom.js";
import { progressText, queueText, share, stateText } from "./words.js";

const LATEST = 3; // whispers on show
const AWAKE = { unknown: 0, cold: 0, resting: 0, failed: 0, full: 0, starting: 0.05, ready: 1 };

export class Backstage {
  #panel = byId("backstage");
  #bar = byId("progress");
  #whispers = byId("whispers");
  #heard = null; // the whispers of the story on show, and how many of them were told
  #told = 0;

  /** `hooks`: wake(). */
  constructor(hooks) {
    byId("wake").addEventListener("click", hooks.wake);
  }

  update({ house: { model, queue }, script: { prologue, begun } }) {
    const loaded = share(model);
    const waking = model.state === "starting" || model.state === "loading";
    const failed = model.state === "failed";
    const full = model.state === "full";
    const rests = model.state === "resting" && Boolean(model.message) && !begun; // the day's model seconds are spent
    this.#panel.hidden = !waking && !failed && !full && !rests && (begun || !prologue.whispers.length);
    this.#panel.classList.toggle("failed", failed);
    setText(byId("backstage-state"), full && queue ? queueText(queue) : stateText(model));
    setText(byId("progress-text"), failed || rests ? "" : progressText(model));
    setText(byId("backstage-note"), noteText(model, begun));
    this.#bar.hidden = failed || full || model.state === "resting";
    if (loaded !== null || model.state === "ready") this.#bar.value = loaded ?? 1;
    else this.#bar.removeAttribute("value");
    byId("wake").hidden = !failed;
    this.#tell(prologue.whispers);
    this.#whispers.hidden = begun || !prologue.whispers.length;
    const open = begun ? 1 : (loaded ?? AWAKE[model.state] ?? 0) * 0.7;
    document.documentElement.style.setProperty("--parted", open.toFixed(3));
  }

  #tell(whispers) {
    if (whispers !== this.#heard) this.#whispers.replaceChildren();
    const told = whispers === this.#heard ? this.#told : 0;
    this.#heard = whispers;
    this.#told = whispers.length;
    this.#whispers.append(...whispers.slice(told).map(({ text }) => element("li", {}, text)));
    while (this.#whispers.children.length > LATEST) this.#whispers.firstChild.remove();
  }
}

function noteText({ state, message }, begun) {
  const next = begun ? "Your story is kept as it is." : "What you answered is kept.";
  if (state === "failed" || (state === "resting" && message)) {
    return `${message ?? ""} ${next} Questions about Curtain are answered all the same.`.trim();
  }
  return state === "full" ? `The narrator comes to you as soon as someone leaves. ${next}` : "";
}
