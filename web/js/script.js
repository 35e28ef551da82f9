// What the transcript shows, in order, and the prologue and turns that it is made of. No DOM, no clock.
//
// Items: { key, kind: "line", entry } · { kind: "exchange", question, answer } · { kind: "whispers" } · { kind: "turn", turn }

import { Prologue } from "./prologue.js";
import { Turn } from "./turns.js";

export const OPENING = "opening";

export class Script {
  #removed = new Set(); // ids of undone turns: they never come back

  constructor() {
    this.items = [];
    this.prologue = new Prologue();
    this.turns = new Map();
  }

  get openTurn() {
    return [...this.turns.values()].findLast((turn) => turn.open) ?? null;
  }

  get lastTurn() {
    return [...this.turns.values()].at(-1) ?? null;
  }

  /** Whether the story itself has begun. */
  get begun() {
    return [...this.turns.values()].some(({ versions }) => versions.some(({ source }) => source === "model"));
  }

  /** Shows the entries of the prologue that are due at `now` (ms); with `atOnce` all that are there. */
  show(now, atOnce = false) {
    for (const entry of this.prologue.due(now, atOnce)) {
      if (entry.type === "prologue.line") {
        this.items.push({ key: `line:${entry.seq}`, kind: "line", entry });
      } else if (entry.type === "prologue.fragment") {
        this.prologue.whispers.push(entry);
      } else {
        this.#ask(entry);
      }
    }
  }

  /** The listener's answer (null: skipped) stands at once; `frame` is kept until the server has taken it. */
  answer(answer, frame) {
    const { prologue } = this;
    const question = prologue.question;
    prologue.answers.set(question.id, answer);
    prologue.pending = { question, frame };
    prologue.question = null;
    this.#exchange(question);
  }

  place(turn) {
    if (turn.id === OPENING) {
      this.show(0, true); // the story waits for no line
      if (this.prologue.whispers.length) this.items.push({ key: "whispers", kind: "whispers" });
    }
    this.turns.set(turn.id, turn);
    this.items.push({ key: `turn:${turn.id}`, kind: "turn", turn });
  }

  /** The turn begins (again); null if it was undone. */
  start(frame) {
    if (this.#removed.has(frame.turn_id)) return null;
    if (!this.turns.has(frame.turn_id)) this.place(new Turn(frame.turn_id));
    const turn = this.turns.get(frame.turn_id);
    turn.start(frame);
    return turn;
  }

  /** The turn is undone. */
  remove(id) {
    this.#removed.add(id);
    this.#drop(id);
  }

  wasRemoved(id) {
    return this.#removed.has(id);
  }

  /** Takes the turns of a snapshot, in its order. One that was `awaited` is the whole story: what it lacks is gone. */
  restore(told, awaited) {
    const ids = new Set();
    for (const version of told) {
      const { turn_id: id } = version;
      if (this.#removed.has(id)) continue;
      if (!this.turns.has(id)) this.place(new Turn(id));
      this.turns.get(id).restore(version);
      ids.add(id);
    }
    for (const [id, { newest }] of this.turns) {
      if (!ids.has(id) && awaited && newest.status !== "sending") this.#drop(id);
    }
    const others = [...this.turns.keys()].filter((id) => !ids.has(id));
    this.turns = new Map([...ids, ...others].map((id) => [id, this.turns.get(id)]));
    const inOrder = [...this.turns.values()];
    this.items = this.items.map((item) =>
      item.kind === "turn" ? ((turn) => ({ ...item, key: `turn:${turn.id}`, turn }))(inOrder.shift()) : item,
    );
  }

  /** Takes back what the server refused; a turn's text is returned to be written anew. */
  refuse(requestId) {
    if (!requestId) return null;
    for (const turn of this.turns.values()) {
      const { request, said, status } = turn.newest;
      if (request?.request_id !== requestId || status !== "sending") continue;
      if (!turn.retract()) this.#drop(turn.id);
      return ["say", "edit"].includes(request.action) ? said : null;
    }
    const { pending } = this.prologue;
    if (pending && pending.frame.request_id === requestId) {
      this.prologue.pending = null;
      this.prologue.answers.delete(pending.question.id);
      this.prologue.question = pending.question;
      this.#remove(`exchange:${pending.question.seq}`);
    }
    return null;
  }

  /** Frames that, by a snapshot, never arrived. Sending them twice is harmless. */
  get unconfirmed() {
    const newest = [...this.turns.values()].map((turn) => [turn, turn.newest]);
    return [
      ...newest.filter(([, { status }]) => status === "sending").map(([, { request }]) => request),
      ...newest.filter(([, { open, frozen }]) => open && frozen !== null).map(([turn]) => stopFrame(turn)),
      ...(this.prologue.pending ? [this.prologue.pending.frame] : []),
    ];
  }

  #ask(entry) {
    const { prologue } = this;
    prologue.pending = null;
    if (prologue.question) this.#exchange(prologue.question);
    prologue.question = null;
    if (entry.type === "prologue.done") prologue.done = true;
    else if (prologue.closed(entry)) this.#exchange(entry);
    else prologue.question = entry;
  }

  #exchange(question) {
    const answer = this.prologue.answers.get(question.id) ?? null;
    this.items.push({ key: `exchange:${question.seq}`, kind: "exchange", question, answer });
  }

  #drop(id) {
    this.turns.delete(id);
    this.#remove(`turn:${id}`);
  }

  #remove(key) {
    this.items = this.items.filter((item) => item.key !== key);
  }
}

/** Asks to end the turn where the reader's screen stands still. */
export const stopFrame = (turn) => ({
  action: "stop",
  turn_id: turn.id,
  version: turn.newest.number,
  seen: turn.freeze(),
});
