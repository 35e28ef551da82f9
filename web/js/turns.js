// One turn of the story, its text spliced together from deltas. No DOM, no clock.

import { count, head } from "./codepoints.js";

const TERMINAL = new Set(["completed", "stopped", "failed", "incomplete"]);

export class Turn {
  /** A turn that the server has not confirmed yet has the status "sending". */
  constructor(id, said = "") {
    this.id = id;
    this.said = said;
    this.version = 1;
    this.source = null; // "model" or "faq", once it has started
    this.status = "sending";
    this.text = "";
    this.length = 0; // code points in `text`
    this.frozen = null; // code points that the reader had seen when they pressed stop
    this.reason = "";
    this.usage = null;
    this.metrics = null;
  }

  get open() {
    return !TERMINAL.has(this.status);
  }

  /** What the reader sees: a stop freezes it at once, whatever was still on its way. */
  get shown() {
    return this.frozen === null ? this.text : head(this.text, this.frozen);
  }

  freeze() {
    this.frozen ??= this.length;
  }

  start({ version, source }) {
    if (version < this.version) return;
    if (version > this.version) this.#renew(version);
    this.source = source;
    if (this.open) this.status = "running";
  }

  /** Splices a delta in. False if text before it is missing, so that a snapshot is needed. */
  splice({ version, offset, text }) {
    if (version < this.version || (version === this.version && !this.open)) return true;
    if (version > this.version) this.#renew(version);
    if (offset > this.length) return false;
    const before = head(this.text, offset);
    if (this.text.startsWith(text, before.length)) return true; // sent again
    this.#set(before + text);
    this.status = "running";
    return true;
  }

  /** Ends the turn. False if what the reader is to see is not all here. */
  finish({ version, status, finish_reason, length, usage, metrics }) {
    if (version < this.version) return true;
    if (version > this.version) this.#renew(version);
    this.#end(status);
    this.reason = finish_reason;
    this.usage = usage ?? this.usage;
    this.metrics = metrics ?? this.metrics;
    return length === this.length || this.frozen !== null;
  }

  restore({ version, said, text, status, source }) {
    if (version < this.version) return;
    this.version = version;
    this.said = said;
    this.source = source;
    this.#set(text);
    if (TERMINAL.has(status)) this.#end(status);
    else this.status = status;
  }

  #set(text) {
    this.text = text;
    this.length = count(text);
  }

  #end(status) {
    this.status = status;
    if (status !== "stopped") this.frozen = null; // the stop came too late: show what is on record
  }

  #renew(version) {
    this.version = version;
    this.status = "running";
    this.frozen = null;
    this.#set("");
  }
}
