// What the transcript shows, in order, and the prologue and turns that it is made of. No DOM, no clock.
//
// Items: { key, kind: "line", entry } · { kind: "exchange", question, answer } · { kind: "whispers" } · { kind: "turn", turn }

import { Prologue } from "./prologue.js";
import { Turn } from "./turns.js";

const OPENING = "opening";

export class Script {
  constructor() {
    this.items = [];
    this.prologue = new Prologue();
    this.turns = new Map();
  }

  get openTurn() {
    return [...this.turns.values()].findLast((turn) => turn.open) ?? null;
  }

  /** Whether the story itself has begun. */
  get begun() {
    return [...this.turns.values()].some((turn) => turn.source === "model");
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

  /** The turn that a frame speaks of; a new one if it is not known yet. */
  turnOf({ turn_id, source }) {
    const known = this.turns.get(turn_id);
    if (known) return known;
    const turn = new Turn(turn_id);
    turn.status = "waiting";
    turn.source = source ?? null;
    this.place(turn);
    return turn;
  }

  /** Takes back what the server refused; a turn's text is returned to be written anew. */
  refuse(requestId) {
    const turn = this.turns.get(requestId);
    if (turn?.status === "sending") {
      this.turns.delete(turn.id);
      this.#remove(`turn:${turn.id}`);
      return turn.said;
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
    const turns = [...this.turns.values()];
    return [
      ...turns.filter((turn) => turn.status === "sending").map(sayFrame),
      ...turns.filter((turn) => turn.open && turn.frozen !== null).map(stopFrame),
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

  #remove(key) {
    this.items = this.items.filter((item) => item.key !== key);
  }
}

export const sayFrame = ({ id, said }) => ({ action: "say", turn_id: id, text: said, request_id: id });
export const stopFrame = ({ id }) => ({ action: "stop", turn_id: id });
