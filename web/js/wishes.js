// What the reader and the clock want: each wish returns effects (see protocol.js). The state is the protocol's.

import { OPENING, stopFrame } from "./script.js";
import { Turn } from "./turns.js";

const VERSION = 1;
const BUSY = ["starting", "loading", "full"];

export class Wishes {
  #asked = 0;
  #unconfirmed = null; // a version that the server had not confirmed at the last ping

  /** Milliseconds between pings: often while something is under way, else only to keep the connection. */
  get pingEvery() {
    if (this.held) return 5_000; // a snapshot is due
    const waking = BUSY.includes(this.house.model.state);
    return waking || this.script.openTurn || !this.script.begun ? 10_000 : 300_000;
  }

  hello() {
    return [send({ action: "hello", v: VERSION, ...(this.credentials ?? this.wanted) })];
  }

  tick(now) {
    return this.show(now);
  }

  /** Shows what of the prologue is due; a new question is announced. */
  show(now, atOnce) {
    const { prologue } = this.script;
    const before = prologue.question;
    this.script.show(now, atOnce);
    const asked = prologue.question;
    return asked && asked !== before ? [announce(`A question: ${asked.text}`)] : [];
  }

  /** Answers the open question with { choice, label } or { text }. */
  answer({ label, ...given }) {
    return this.#answered(label ?? given.text, { action: "answer", ...given });
  }

  skipQuestion() {
    return this.#answered(null, { action: "skip" });
  }

  skipPrologue() {
    const goOn = this.script.prologue.paused ? this.pause(false) : [];
    return [...goOn, ...this.show(0, true), send({ action: "skip" })];
  }

  pause(paused) {
    this.script.prologue.paused = paused;
    return [send({ action: "pause", paused })];
  }

  say(turnId, text) {
    const frame = { action: "say", turn_id: turnId, text, request_id: turnId };
    this.suggestions = [];
    this.script.place(new Turn(turnId, text, frame));
    return [send(frame)];
  }

  stop() {
    const turn = this.script.openTurn;
    if (!turn || turn.newest.frozen !== null) return [];
    return [send(stopFrame(turn))];
  }

  /** What can be done about the last turn: names of `retell` actions, and "undo". */
  get choices() {
    const { begun, lastTurn: turn, openTurn } = this.script;
    if (!this.ready || !turn || openTurn) return [];
    const { source, brokeOff } = turn.newest;
    const faq = source === "faq";
    return [
      begun && !faq && brokeOff && "continue",
      begun && faq && "not_faq",
      begun && !faq && "retry",
      begun && turn.id !== OPENING && "edit",
      turn.id !== OPENING && "undo",
    ].filter(Boolean);
  }

  /** The last turn once more, as a new version: "retry", "edit" (with `text`), "continue" or "not_faq". */
  retell(action, text) {
    const turn = this.script.lastTurn;
    if (!this.choices.includes(action)) return [];
    const { number, text: base } = turn.newest;
    this.#asked += 1;
    const frame = { action, turn_id: turn.id, version: number, request_id: `r-${this.#asked}`, text };
    this.suggestions = [];
    turn.renew(number + 1, { said: text, base: action === "continue" ? base : "", request: frame });
    return [send(frame)];
  }

  undo() {
    if (!this.choices.includes("undo")) return [];
    return [send({ action: "undo", turn_id: this.script.lastTurn.id })];
  }

  wake() {
    return [send({ action: "wake" })];
  }

  switchModel(name) {
    return [send({ action: "model", name })];
  }

  rename(title) {
    return [send({ action: "rename", title })];
  }

  export(format) {
    return [send({ action: "export", format })];
  }

  delete() {
    return [send({ action: "delete" })];
  }

  ping() {
    const turn = this.script.openTurn;
    const lost = turn?.newest.status === "sending" && turn.newest === this.#unconfirmed;
    this.#unconfirmed = turn?.newest ?? null;
    if (!this.ready || this.held || lost) return this.hello(); // what was asked for has not come
    // The server tells how that turn ended, or what has come since; nobody else asks for the opening scene.
    const known = turn ?? (this.script.turns.has(OPENING) ? this.script.lastTurn : null);
    return [send({ action: "ping", session_id: this.credentials?.session_id, turn_id: known?.id ?? OPENING })];
  }

  #answered(answer, given) {
    const { paused, question } = this.script.prologue;
    const frame = { ...given, question_id: question.id, request_id: `q-${question.seq}` };
    this.script.answer(answer, frame);
    return [send(frame), ...(paused ? this.pause(false) : [])];
  }
}

export const send = (frame) => ({ do: "send", frame });
export const announce = (text) => ({ do: "announce", text });
