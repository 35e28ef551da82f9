// The prologue as this listener sees it: entries in order of `seq`, shown at the pace that the lines ask for.
// No DOM, no clock: the time comes in.

export class Prologue {
  #entries = []; // by seq; a hole where one is missing
  #shown = 0; // how many were shown
  #next = 0; // when the next may be shown, ms

  constructor() {
    this.answers = new Map(); // question id -> what was answered
    this.question = null; // the one that waits for its answer
    this.pending = null; // { question, frame }: an answer that the server has not taken yet
    this.whispers = []; // countdown fragments
    this.done = false;
    this.paused = false;
  }

  /** How many entries came without a hole. */
  get received() {
    let known = this.#shown;
    while (this.#entries[known]) known += 1;
    return known;
  }

  /** Whether lines still wait for their moment. */
  get pacing() {
    return this.received > this.#shown;
  }

  add(entry) {
    this.#entries[entry.seq] = entry;
  }

  /** Adds what a snapshot has of the prologue. An answer that was given here keeps its own words. */
  restore({ answered, paused, prologue }) {
    this.paused = paused;
    for (const entry of prologue) this.add(entry);
    this.answers = new Map([...Object.entries(answered), ...this.answers]);
  }

  /** The entries whose moment has come at `now` (ms); with `atOnce` all that are there. */
  due(now, atOnce = false) {
    const due = [];
    for (;;) {
      const entry = this.#entries[this.#shown];
      if (!entry || (!atOnce && (this.paused || now < this.#next))) return due;
      this.#shown += 1;
      if (!atOnce) this.#next = now + (entry.pause_ms ?? 0);
      due.push(entry);
    }
  }

  /** Milliseconds until the next entry is due; null if none waits. */
  wait(now) {
    return this.pacing && !this.paused ? Math.max(0, this.#next - now) : null;
  }

  /** Whether something after `question` shows that it is closed. */
  closed(question) {
    return this.#entries.some(
      (entry) =>
        entry && entry.seq > question.seq && ["prologue.question", "prologue.done"].includes(entry.type),
    );
  }
}
