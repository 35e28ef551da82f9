// One turn of the story: its newest version, spliced together from deltas, and the earlier ones. No DOM, no clock.

import { count, head } from "./codepoints.js";

const TERMINAL = new Set(["completed", "stopped", "failed", "incomplete"]);
const BROKE_OFF = new Set(["stopped", "failed", "incomplete", "length", "loop"]);

class Version {
  /** `request`: the frame that asks for this version; until the server has confirmed it, its status is "sending". */
  constructor(number, { said = "", base = "", request = null } = {}) {
    this.number = number;
    this.said = said;
    this.base = base; // what `continue` goes on from: on show until it comes back as this version's own text
    this.request = request;
    this.source = null; // "model" or "faq", once it has started
    this.status = "sending";
    this.text = "";
    this.length = 0; // code points in `text`
    this.frozen = null; // code points that the reader had seen when they pressed stop
    this.reason = "";
    this.usage = null;
    this.metrics = null;
    this.saved = null;
  }

  get open() {
    return !TERMINAL.has(this.status);
  }

  /** Whether it broke off with something to go on from. */
  get brokeOff() {
    return !this.open && this.text !== "" && (BROKE_OFF.has(this.status) || BROKE_OFF.has(this.reason));
  }

  /** What the reader sees: a stop freezes it at once, whatever was still on its way. */
  get shown() {
    const text = this.text || (this.open ? this.base : "");
    return this.frozen === null ? text : head(text, this.frozen);
  }

  set(text) {
    this.text = text;
    this.length = count(text);
  }

  end(status) {
    this.status = status;
    this.frozen = null; // what is on record is what stands
  }
}

export class Turn {
  /** `request`: the frame that says it, for a turn that begins here. */
  constructor(id, said = "", request = null) {
    this.id = id;
    this.versions = [new Version(1, { said, request })];
    this.seen = null; // the version on show, where that is not the newest
  }

  get newest() {
    return this.versions.at(-1);
  }

  /** The version on show. */
  get viewed() {
    return this.seen ?? this.newest;
  }

  get open() {
    return this.newest.open;
  }

  /** Shows the version `by` places further, if there is one. */
  turnPage(by) {
    const version = this.versions[this.versions.indexOf(this.viewed) + by];
    if (version) this.seen = version === this.newest ? null : version;
  }

  /** Stands still; says how many code points are on show. */
  freeze() {
    this.newest.frozen ??= count(this.newest.shown);
    return this.newest.frozen;
  }

  /** A new version, asked for by `request` or begun by the server. One that was never confirmed gives way. */
  renew(number, { said = this.newest.said, base = "", request = null } = {}) {
    const kept = this.versions.filter(({ status }) => status !== "sending");
    this.versions = [...kept, new Version(number, { said, base, request })];
    this.seen = null;
  }

  /** Takes back a version that was refused. False if it was the only one. */
  retract() {
    if (this.versions.length > 1) return Boolean(this.versions.pop());
    return false;
  }

  start({ version, source }) {
    if (version > this.newest.number) this.renew(version);
    if (version < this.newest.number || !this.open) return;
    this.newest.source = source;
    this.newest.status = "running";
  }

  /** Splices a delta in. False if text before it is missing, so that a snapshot is needed. */
  splice({ version, offset, text }) {
    const { newest } = this;
    if (version < newest.number || (version === newest.number && !newest.open)) return true;
    if (version > newest.number || offset > newest.length) return false;
    const before = head(newest.text, offset);
    const after = newest.text.slice(head(newest.text, offset + count(text)).length);
    newest.set(before + text + after);
    newest.status = "running";
    return true;
  }

  /** Ends the turn; a stopped one ends where `length` says. False if what the reader is to see is not all here. */
  finish({ version, status, finish_reason, length, usage, metrics, saved }) {
    const { newest } = this;
    if (version !== newest.number) return version < newest.number;
    newest.end(status);
    newest.reason = finish_reason;
    newest.usage = usage ?? newest.usage;
    newest.metrics = metrics ?? newest.metrics;
    newest.saved = saved ?? newest.saved;
    if (status === "stopped") newest.set(head(newest.text, length));
    return length === newest.length;
  }

  /** Takes what the table holds of one version. Newer deltas may have overtaken it: then the text stays as it is. */
  restore({ version: number, said, text, status, finish_reason, source }) {
    this.versions = this.versions.filter((known) => known.status !== "sending" || known.request);
    let version = this.versions.find((known) => known.number === number);
    if (!version) {
      version = new Version(number);
      this.versions = [...this.versions, version].sort((a, b) => a.number - b.number);
    }
    version.said = said;
    version.source = source;
    if (TERMINAL.has(status)) {
      version.end(status);
      version.reason = finish_reason ?? "";
      version.set(text);
    } else if (version.open) {
      version.status = version.text ? "running" : status;
      if (!version.text.startsWith(text)) version.set(text);
    }
  }
}
