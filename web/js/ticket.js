// Coming in: the page exchanges what the house asks for (an access code, a token, nothing) for a ticket, which opens
// one connection within a minute. The code or token goes to the ticket office alone, never into an address.

const PLACES = {
  "access-code": { kept: "curtain.code", storage: () => localStorage, field: "code" },
  jwt: { kept: "curtain.token", storage: () => sessionStorage, field: "token" }, // gone with the tab
};
const FRAGMENT = /^#(?:.*&)?(?:id_)?token=([^&]+)/; // where an OpenID issuer puts its token
// The office's own words about these are for who writes requests; a reader gave a code or a token.
const UNREADABLE = { 400: "The house could not read that.", 413: "That is too long: this house takes 8 KB at most." };
const CAREFULLY = "Give exactly what you were given, or ask whoever runs this house.";
const PATIENCE_MS = 10_000;
const LATER_MS = 1_000;

/** What keeps the page from connecting. `again`: after how many milliseconds another try is worth it; 0 is never. */
class NotAdmitted extends Error {
  constructor(message, hint = "", again = 0) {
    super(message);
    Object.assign(this, { hint, again });
  }
}

export class Tickets {
  #memory = null; // where the browser keeps nothing, a code lasts as long as the page
  #place;

  /**
   * `config`: the page's. `ask({ mode, complaint })` has the reader give a code or token, and resolves to null if they
   * would rather not.
   */
  constructor({ websocket, auth = "none", ticket = "ticket" }, ask) {
    this.websocket = websocket;
    this.auth = auth;
    this.office = ticket;
    this.ask = ask;
    this.#place = PLACES[auth];
    if (auth === "jwt") this.#takeFromAddress();
  }

  /** Where to connect to, with a fresh ticket where one is needed. Rejects with NotAdmitted. */
  async address() {
    if (this.auth === "none") return this.websocket;
    if (this.auth === "iam") {
      throw new NotAdmitted("This house is open to signed requests only.", "Come with the terminal client: make chat.");
    }
    for (let complaint = ""; ; ) {
      const shown = this.#place ? await this.#credential(complaint) : {};
      const { status, told, later } = await exchange(this.office, shown);
      if (told.ticket) return `${this.websocket}?t=${told.ticket}`;
      const { message = "The ticket office can't be reached.", hint = later ? "It will be tried again." : "" } = told;
      const unreadable = told.error && UNREADABLE[status]; // a proxy's own refusal says nothing of the credential
      if (!this.#place || !(unreadable || status === 401)) throw new NotAdmitted(message, hint, later);
      this.#keep(null);
      complaint = unreadable ? `${unreadable} ${CAREFULLY}` : `${message} ${hint}`;
    }
  }

  async #credential(complaint) {
    const known = this.#kept() ?? (await this.ask({ mode: this.auth, complaint }));
    if (known === null) throw new NotAdmitted("Nobody is let in without it.", "It is asked for once, then this browser knows it.");
    this.#keep(known);
    return { [this.#place.field]: known };
  }

  #kept() {
    try {
      return this.#place.storage().getItem(this.#place.kept) ?? this.#memory;
    } catch {
      return this.#memory;
    }
  }

  #keep(credential) {
    this.#memory = credential;
    try {
      if (credential === null) this.#place.storage().removeItem(this.#place.kept);
      else this.#place.storage().setItem(this.#place.kept, credential);
    } catch {
      // kept in memory
    }
  }

  /** A token that came with the address is taken out of it: addresses are shared, and stay in the history. */
  #takeFromAddress() {
    const [, token] = FRAGMENT.exec(location.hash) ?? [];
    if (!token) return;
    this.#keep(token);
    history.replaceState(history.state, "", location.pathname + location.search);
  }
}

/** What the ticket office answers: its status, its words, and how long to wait before another try. */
async function exchange(office, shown) {
  const body = new TextEncoder().encode(JSON.stringify(shown));
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", body));
  try {
    const answer = await fetch(office, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        // CloudFront signs the request for the function, and takes the body's hash from here.
        "x-amz-content-sha256": Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join(""),
      },
      body,
      cache: "no-store",
      credentials: "omit",
      redirect: "error",
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
    const { status } = answer;
    const told = await answer.json().catch(() => ({}));
    const passing = status === 429 || status >= 500;
    return { status, told, later: passing ? 1_000 * Number(answer.headers.get("retry-after")) || LATER_MS : 0 };
  } catch {
    return { status: 0, told: {}, later: LATER_MS };
  }
}
