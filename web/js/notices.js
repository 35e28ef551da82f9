// What the page itself has to say: errors (at once), the state of the line (quietly), and the reader's status line.

import { byId, setText } from "./dom.js";
import { percentText, stateText } from "./words.js";

const LINE = {
  closed: "Not connected",
  connecting: "Connecting …",
  waiting: "The line went dead; trying again …",
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
    const { model, superseded } = protocol;
    const line = LINE[connection.state];
    byId("superseded").hidden = !superseded;
    setText(byId("line"), superseded ? "Open elsewhere" : (line ?? stateText(model)));
    setText(byId("percent"), line ? "" : percentText(model));
    setText(byId("model"), line || superseded ? "" : model.name);
    byId("status").dataset.state = line || superseded ? "offline" : model.state;
    if (connection.state === "waiting") this.announce(line);
  }
}
