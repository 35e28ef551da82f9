// The client's side of the wire: frames and the reader's wishes in, state and effects out. No socket, DOM or clock.
//
// Effects: { do: "send", frame } · { do: "remember", story } · { do: "forget", session_id } · { do: "announce", text }
//          { do: "alert", message, hint } · { do: "unsay", text }: a refused text goes back to its writer
//          { do: "download", format, text } · { do: "leave" }: close the line; `away` says why

import { House } from "./house.js";
import { Script, stopFrame } from "./script.js";
import { Snapshot } from "./snapshot.js";
import { announceDone, hintText } from "./words.js";
import { Wishes, announce, send } from "./wishes.js";

const LOST_TRACK = new Set(["no_session", "unknown_question", "already_answered", "prologue_over", "not_last_turn"]);
const NO_ENTRY = new Set(["too_many_sessions", "unsupported_version", "unknown_world", "unknown_model"]);

export class Protocol extends Wishes {
  #snapshot = new Snapshot();

  /** `story`: { session_id, resume_key } of an earlier visit, or null; `wanted`: { world, language } of a new one. */
  constructor(story, wanted = {}) {
    super();
    this.wanted = wanted;
    this.#begin(story);
  }

  #begin(story) {
    this.credentials = story && { session_id: story.session_id, resume_key: story.resume_key };
    this.ready = false;
    this.away = null; // why the line is closed for good: { kind: "superseded" | "deleted" | "refused", … }
    this.house = new House();
    this.suggestions = [];
    this.script = new Script();
    this.held = null; // turn frames that wait for a snapshot; null while none is awaited
  }

  hello() {
    this.#snapshot.clear();
    if (this.credentials) this.held ??= [];
    return super.hello();
  }

  receive(frame, now) {
    if (frame.type?.startsWith("prologue.")) {
      this.script.prologue.add(frame);
      return this.show(now);
    }
    if (frame.type?.startsWith("turn.")) {
      if (!this.held) return this.#turn(frame);
      this.held.push(frame);
      return [];
    }
    switch (frame.type) {
      case "session.ready":
        return this.#ready(frame);
      case "session.snapshot": {
        const whole = this.#snapshot.add(frame);
        return whole ? this.#restore(whole) : [];
      }
      case "session.superseded":
        return this.#leave({ kind: "superseded" });
      case "session.deleted":
        this.#begin(null);
        return [{ do: "forget", session_id: frame.session_id }, ...this.#leave({ kind: "deleted" })];
      case "session.renamed":
        this.house.title = frame.title;
        return [this.#remember()];
      case "session.export": {
        const copy = this.house.copy(frame);
        return copy ? [{ do: "download", ...copy }] : [];
      }
      case "model.status":
        return this.#status(frame);
      case "queue": {
        const news = this.house.queue?.place !== frame.place;
        this.house.queue = frame;
        return news ? [announce(`The house is full. Your place in the queue: ${frame.place}.`)] : [];
      }
      case "pong":
        return this.held || frame.seq > this.script.prologue.received ? this.hello() : [];
      case "error":
        return this.#refused(frame);
      default: // the gateway's own errors have no type; a later server may say more
        return frame.type ? [] : [{ do: "alert", message: frame.message, hint: "It will be tried again." }];
    }
  }

  #ready(frame) {
    const { session_id, resume_key, resumed } = frame;
    if (this.credentials && this.credentials.session_id !== session_id) this.#begin(null); // another story
    this.credentials = { session_id, resume_key: resume_key ?? this.credentials?.resume_key };
    this.ready = true;
    this.away = null;
    this.house.greet(frame);
    this.#snapshot.clear();
    if (resumed) this.held ??= [];
    return [this.#remember()];
  }

  #remember() {
    const { title, world, language } = this.house;
    return { do: "remember", story: { ...this.credentials, title, world, language } };
  }

  #leave(away) {
    this.away = away;
    this.ready = false;
    return [{ do: "leave" }];
  }

  #restore(snapshot) {
    const { held } = this;
    this.held = null;
    this.script.prologue.restore(snapshot);
    const effects = this.show(0, true);
    this.script.restore(snapshot.turns, held !== null);
    for (const frame of held ?? []) {
      const older = ["turn.delta", "turn.done"].includes(frame.type) && !this.script.turns.has(frame.turn_id);
      if (older) continue; // the snapshot would have its turn: it was undone
      if (this.held) this.held.push(frame);
      else effects.push(...this.#turn(frame));
    }
    return this.held ? effects : [...effects, ...this.script.unconfirmed.map(send)];
  }

  #turn(frame) {
    const { script } = this;
    if (frame.type === "turn.removed") {
      script.remove(frame.turn_id);
      this.suggestions = [];
      return [announce("Undone.")];
    }
    if (script.wasRemoved(frame.turn_id)) return [];
    if (frame.type === "turn.suggestions") {
      this.suggestions = frame.suggestions;
      return [];
    }
    const known = script.turns.get(frame.turn_id);
    if (frame.type === "turn.started") {
      const begins = !known || known.open || known.newest.number < frame.version;
      if (begins) this.suggestions = [];
      const turn = script.start(frame);
      return [
        ...(begins && frame.source === "model" ? [announce("The narrator is speaking.")] : []),
        ...(turn.open && turn.newest.frozen !== null ? [send(stopFrame(turn))] : []), // it overtook the turn
      ];
    }
    if (!known) return this.#missing(frame);
    const wasOpen = known.open;
    const whole = frame.type === "turn.delta" ? known.splice(frame) : known.finish(frame);
    const effects = wasOpen && !known.open ? [announce(announceDone(known.newest))] : [];
    return whole ? effects : [...effects, ...this.#missing(frame)];
  }

  /** Keeps the frame, and asks for what came before it. */
  #missing(frame) {
    this.held = [frame];
    return this.hello();
  }

  #status(frame) {
    const before = this.house.model.state;
    this.house.status(frame);
    if (frame.state === before) return [];
    if (frame.state === "failed") return [announce("The narrator could not be woken. You can try again.")];
    return frame.state === "resting" && frame.message ? [announce(frame.message)] : [];
  }

  #refused(frame) {
    const { code, message, request_id } = frame;
    if (code === "unknown_session" && this.credentials) {
      const { session_id } = this.credentials;
      this.#begin(null);
      const gone = { message: "Your earlier story is no longer kept here.", hint: "A new one begins." };
      return [{ do: "forget", session_id }, { do: "alert", ...gone }, ...this.hello()];
    }
    if (!this.ready && NO_ENTRY.has(code)) return this.#leave({ kind: "refused", message, hint: hintText(frame) });
    const text = this.script.refuse(request_id);
    const lostTrack = LOST_TRACK.has(code) && this.credentials && !this.held;
    return [
      { do: "alert", message, hint: hintText(frame) },
      ...(text === null ? [] : [{ do: "unsay", text }]),
      ...(lostTrack ? this.hello() : []),
    ];
  }
}
