// A snapshot comes in one or more parts, in any order.

/** A version that is too long for a frame comes in pieces, one after the other: put together again. */
function joined(turns) {
  const whole = [];
  for (const turn of turns) {
    const before = whole.at(-1);
    if (before?.turn_id === turn.turn_id && before.version === turn.version) before.text += turn.text;
    else whole.push({ ...turn });
  }
  return whole;
}

export class Snapshot {
  #parts = new Map();

  clear() {
    this.#parts.clear();
  }

  /** Takes a part. The whole snapshot, { answered, paused, prologue, turns }, once none is missing; until then null. */
  add(frame) {
    this.#parts.set(frame.part, frame);
    if (this.#parts.size < frame.parts) return null;
    const parts = [...this.#parts.values()].sort((a, b) => a.part - b.part);
    this.clear();
    return {
      answered: Object.assign({}, ...parts.map((part) => part.answered)),
      paused: frame.paused,
      prologue: parts.flatMap((part) => part.prologue),
      turns: joined(parts.flatMap((part) => part.turns)),
    };
  }
}
