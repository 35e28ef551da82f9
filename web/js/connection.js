// One WebSocket that comes back: backoff, heartbeat, and the size limit of frames. It knows no protocol.

const FRAME_BYTES = 32 * 1024; // a larger frame closes the connection
const WAITS_MS = [500, 1_000, 2_000, 4_000, 8_000, 15_000];
const STAYED_MS = 3_200; // three seconds after its greeting, a ping tells the server that the listener stays
const SILENCE_MS = 20_000; // no answer to a ping for so long: the line is dead

const encoder = new TextEncoder();

/** The frame as text, or null if it is too large to be sent. */
export function encode(frame) {
  const text = JSON.stringify(frame);
  return encoder.encode(text).length <= FRAME_BYTES ? text : null;
}

export class Connection {
  #attempt = null; // the latest call of `open`; null once it is closed
  #socket = null;
  #timer = 0;
  #beat = 0;
  #tries = 0;
  #pinged = 0; // when the last ping went out; 0 if it was answered
  #nextPing = 0;

  /**
   * `address()` promises where to connect to; it is asked anew each time, and may reject with an error that says when
   * to try `again` (ms; 0: never).
   * `hooks`: opened(), received(frame), changed(), ping() (sends one), pingEvery() -> ms, refused(error).
   */
  constructor(address, hooks) {
    this.address = address;
    this.hooks = hooks;
    this.state = "closed"; // closed | connecting | open | waiting
    addEventListener("online", () => this.state === "waiting" && this.open());
  }

  open() {
    this.close();
    const attempt = (this.#attempt = {});
    const current = (then) => (what) => attempt === this.#attempt && then(what);
    this.#become("connecting");
    this.address().then(
      current((url) => this.#dial(url)),
      current((error) => this.#refused(error)),
    );
  }

  #dial(url) {
    const socket = new WebSocket(url);
    this.#socket = socket;
    const mine = (handler) => (event) => socket === this.#socket && handler(event);
    socket.onopen = mine(() => this.#opened());
    socket.onmessage = mine(({ data }) => this.#heard(data));
    socket.onclose = mine(() => this.#lost());
  }

  /** Closes, and stays closed until `open`. */
  close() {
    clearTimeout(this.#timer);
    clearInterval(this.#beat);
    const socket = this.#socket;
    this.#attempt = null;
    this.#socket = null;
    socket?.close();
    this.#become("closed");
  }

  /** Sends a frame that `encode` took. False if there is no open line. */
  send(text) {
    if (this.state !== "open") return false;
    this.#socket.send(text);
    return true;
  }

  /** The session is ready: time for the first ping. */
  greeted() {
    this.#nextPing = Date.now() + STAYED_MS;
  }

  #opened() {
    this.#pinged = 0;
    this.#nextPing = Date.now() + this.hooks.pingEvery();
    this.#beat = setInterval(() => this.#pulse(Date.now()), 400);
    this.#become("open");
    this.hooks.opened();
  }

  #heard(data) {
    this.#pinged = 0;
    this.#tries = 0;
    let frame;
    try {
      frame = JSON.parse(data);
    } catch {
      return; // the gateway's own error frames are JSON too; nothing else is meant for us
    }
    this.hooks.received(frame);
  }

  #pulse(now) {
    if (this.#pinged && now - this.#pinged > SILENCE_MS) {
      this.#lost();
      return;
    }
    const latest = now + this.hooks.pingEvery(); // shorter at once when something begins
    if (now >= this.#nextPing) {
      this.#pinged ||= now;
      this.#nextPing = latest;
      this.hooks.ping();
    } else {
      this.#nextPing = Math.min(this.#nextPing, latest);
    }
  }

  #refused(error) {
    if (error.again) this.#lost(error.again);
    else this.close();
    this.hooks.refused(error);
  }

  #lost(atLeast = 0) {
    this.close();
    const backoff = WAITS_MS[Math.min(this.#tries, WAITS_MS.length - 1)] * (0.75 + Math.random() / 2);
    const wait = Math.max(backoff, atLeast);
    this.#tries += 1;
    this.#timer = setTimeout(() => this.open(), wait);
    this.#become("waiting");
  }

  #become(state) {
    this.state = state;
    this.hooks.changed();
  }
}
