// The client's side of the wire: frames and the reader's wishes in, state and effects out. No socket, DOM or clock.
//
// Effects: { do: "send", frame } · { do: "remember", credentials } · { do: "announce", text } · { do: "leave" }
//          { do: "alert", message, hint } · { do: "unsay", text }: a refused text goes back to its writer

import { Script, sayFrame, stopFrame } from "./script.js";
import { Snapshot } from "./snapshot.js";
import { Turn } from "./turns.js";
import { announceDone, hintText } from "./words.js";

const VERSION = 1;
const LOST_TRACK = new Set(["no_session", "unknown_question", "already_answered", "prologue_over"]);

export class Protocol {
  #held; // turn frames that wait for a snapshot; null while none is awaited
  #snapshot = new Snapshot();
  #unconfirmed = null; // a turn that the server had not confirmed at the last ping

  /** `credentials`: { session_id, resume_key } of an earlier visit, or null. */
  constructor(credentials) {
    this.#begin(credentials);
  }

  #begin(credentials) {
    this.credentials = credentials;
    this.ready = false;
    this.superseded = false;
    this.model = { name: "", state: "unknown" };
    this.suggestions = [];
    this.script = new Script();
    this.#held = null;
  }

  /** Milliseconds between pings: often while something is under way, else only to keep the connection. */
  get pingEvery() {
    const waking = ["starting", "loading"].includes(this.model.state);
    return waking || this.script.openTurn || !this.script.begun ? 10_000 : 300_000;
  }

  // What the reader and the clock do; each returns effects.

  hello() {
    this.#snapshot.clear();
    this.#held = this.credentials ? [] : null;
    return [send({ action: "hello", v: VERSION, ...this.credentials })];
  }

  tick(now) {
    return this.#show(now);
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
    return [...goOn, ...this.#show(0, true), send({ action: "skip" })];
  }

  pause(paused) {
    this.script.prologue.paused = paused;
    return [send({ action: "pause", paused })];
  }

  say(turnId, text) {
    const turn = new Turn(turnId, text);
    this.suggestions = [];
    this.script.place(turn);
    return [send(sayFrame(turn))];
  }

  stop() {
    const turn = this.script.openTurn;
    if (!turn || turn.frozen !== null) return [];
    turn.freeze();
    return [send(stopFrame(turn))];
  }

  wake() {
    return [send({ action: "wake" })];
  }

  ping() {
    const turn = this.script.openTurn;
    const lost = turn?.status === "sending" && turn === this.#unconfirmed;
    this.#unconfirmed = turn;
    if (!this.ready || this.#held || lost) return this.hello(); // what was asked for has not come
    return [send({ action: "ping", session_id: this.credentials?.session_id, turn_id: turn?.id })];
  }

  // What the server says.

  receive(frame, now) {
    if (frame.type?.startsWith("prologue.")) {
      this.script.prologue.add(frame);
      return this.#show(now);
    }
    if (frame.type?.startsWith("turn.")) {
      if (!this.#held) return this.#turn(frame);
      this.#held.push(frame);
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
        this.superseded = true;
        return [{ do: "leave" }];
      case "model.status":
        this.model = frame;
        return [];
      case "pong":
        return frame.seq > this.script.prologue.received && !this.#held ? this.hello() : [];
      case "error":
        return this.#refused(frame);
      default: // the gateway's own errors have no type; a later server may say more
        return frame.type ? [] : [{ do: "alert", message: frame.message, hint: "It will be tried again." }];
    }
  }

  #ready({ session_id, resume_key, resumed }) {
    this.ready = true;
    this.superseded = false;
    if (resumed) this.#held ??= [];
    if (!resume_key) return [];
    this.credentials = { session_id, resume_key };
    return [{ do: "remember", credentials: this.credentials }];
  }

  #restore(snapshot) {
    const held = this.#held ?? [];
    this.#held = null;
    this.script.prologue.restore(snapshot);
    const effects = this.#show(0, true);
    for (const turn of snapshot.turns) this.script.turnOf(turn).restore(turn);
    effects.push(...held.flatMap((frame) => this.#turn(frame)));
    return [...effects, ...this.script.unconfirmed.map(send)];
  }

  #turn(frame) {
    const turn = this.script.turnOf(frame);
    const wasOpen = turn.open;
    switch (frame.type) {
      case "turn.started":
        turn.start(frame);
        return frame.source === "model" && wasOpen ? [announce("The narrator is speaking.")] : [];
      case "turn.delta":
        return turn.splice(frame) ? [] : this.hello();
      case "turn.done": {
        const whole = turn.finish(frame);
        return [...(wasOpen ? [announce(announceDone(turn))] : []), ...(whole ? [] : this.hello())];
      }
      case "turn.suggestions":
        this.suggestions = frame.suggestions;
    }
    return [];
  }

  #show(now, atOnce) {
    const { prologue } = this.script;
    const before = prologue.question;
    this.script.show(now, atOnce);
    const asked = prologue.question;
    return asked && asked !== before ? [announce(`A question: ${asked.text}`)] : [];
  }

  #answered(answer, given) {
    const { paused, question } = this.script.prologue;
    const frame = { ...given, question_id: question.id, request_id: `q-${question.seq}` };
    this.script.answer(answer, frame);
    return [send(frame), ...(paused ? this.pause(false) : [])];
  }

  #refused(frame) {
    const { code, message, request_id } = frame;
    if (code === "unknown_session" && this.credentials) {
      this.#begin(null);
      const gone = { message: "Your earlier story is no longer kept here.", hint: "A new one begins." };
      return [{ do: "remember", credentials: null }, { do: "alert", ...gone }, ...this.hello()];
    }
    const text = this.script.refuse(request_id);
    const lostTrack = LOST_TRACK.has(code) && this.credentials && !this.#held;
    return [
      { do: "alert", message, hint: hintText(frame) },
      ...(text === null ? [] : [{ do: "unsay", text }]),
      ...(lostTrack ? this.hello() : []),
    ];
  }
}

const send = (frame) => ({ do: "send", frame });
const announce = (text) => ({ do: "announce", text });
