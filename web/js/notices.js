// What the page itself has to say: errors (at once), the state of the line (quietly), and the reader's status line.

import { byId, setText } from "./dom.js";
import { percentText, queueText, stateText } from "./words.js";

const LINE = {
  closed: "Not connected",
  connecting: "Connecting …",
  waiting: "The line went dead; trying again …",
};

// Why the line is closed for good: [what, what next, the button].
const AWAY = {
  superseded: ["This story is now open in another window.", "", "Bring it back here"],
  deleted: ["This story is deleted.", "Nothing of it is left.", "Begin a new story"],
  refused: ["", "", "Try again"],
};

export class Notices {
  #alert = byId("alert");

  constructor() {
    byId("dismiss").addEventListener("click", () => {
      this.clear();
      byId("say").focus();
    });
  }

  alert({ message, hint }) {
    setText(byId("alert-message"), message);
    setText(byId("alert-hint"), hint ?? "");
    this.#alert.hidden = false;
  }

  clear() {
    this.#alert.hidden = true;
  }

  announce(text) {
    setText(byId("announcer"), text);
  }

  update(protocol, connection) {
    const { away } = protocol;
    const { model, queue } = protocol.house;
    const line = LINE[connection.state];
    this.#away(away);
    const state = model.state === "full" && queue ? queueText(queue) : stateText(model);
    setText(byId("line"), away?.kind === "superseded" ? "Open elsewhere" : (line ?? state));
    setText(byId("percent"), line ? "" : percentText(model));
    setText(byId("model"), line || away ? "" : model.name);
    byId("status").dataset.state = line || away ? "offline" : model.state;
    if (connection.state === "waiting") this.announce(line);
  }

  #away(away) {
    byId("away").hidden = !away;
    if (!away) return;
    const [message, hint, button] = AWAY[away.kind];
    setText(byId("away-message"), away.message ?? message);
    setText(byId("away-hint"), away.hint ?? hint);
    setText(byId("return"), button);
  }
}
