// Puts the page together: config, story, connection, views.

import { Admission } from "./admission.js";
import { Backstage } from "./backstage.js";
import { Begin } from "./begin.js";
import { Composer } from "./composer.js";
import { Connection, encode } from "./connection.js";
import { Controls } from "./controls.js";
import { drawCurtains } from "./curtain.js";
import { download, newTurnId } from "./dom.js";
import { errand } from "./errand.js";
import { Follow } from "./follow.js";
import { LastTurn } from "./lastturn.js";
import { Notices } from "./notices.js";
import { Protocol } from "./protocol.js";
import { Question } from "./question.js";
import { Shelf } from "./shelf.js";
import { forget, leave, recall, remember, retitle } from "./stories.js";
import { applyWorld, lookOf } from "./theme.js";
import { Tickets } from "./ticket.js";
import { Transcript } from "./transcript.js";
import { againText } from "./words.js";

const CONFIG = "config.json";
const TOO_LARGE = { message: "This is too large to be sent.", hint: "Send a shorter text." };
const UNSENT = { message: "The line is dead just now.", hint: "Do it once more when it is back." };
const FLEETING = new Set(["skip", "wake", "undo", "model", "rename", "export", "delete"]); // not sent again by itself

drawCurtains();
const notices = new Notices();
try {
  const answer = await fetch(CONFIG, { cache: "no-store" });
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  raise(await answer.json());
} catch (error) {
  const message = `The page could not read its ${CONFIG} (${error.message}).`;
  notices.alert({ message, hint: "Load it again; on your own machine, see that the stage is running." });
}

async function raise(config) {
  let protocol = new Protocol(await recall());
  let drawing = false; // a frame of the screen is asked for
  let turnedAway = false; // the notice says why there is no ticket just now
  let pacing = 0; // the timer of the prologue's next line

  const admission = new Admission(config.sign_in);
  const tickets = new Tickets(config, (what) => admission.ask(what));
  const connection = new Connection(() => tickets.address(), {
    opened() {
      if (turnedAway) notices.clear();
      turnedAway = false;
      perform(protocol.hello());
    },
    received(frame) {
      perform(protocol.receive(frame, performance.now()));
      if (frame.type === "session.ready") connection.greeted();
    },
    ping: () => perform(protocol.ping()),
    pingEvery: () => protocol.pingEvery,
    changed: () => draw(),
    refused({ message, hint, again }) {
      turnedAway = Boolean(again);
      if (again) notices.alert({ message, hint: againText(again) || hint });
      else protocol.away = { kind: "refused", message, hint };
      draw();
    },
  });
  const transcript = new Transcript({ turned: draw });
  const question = new Question({
    answer: (given) => reply(protocol.answer(given)),
    skip: () => reply(protocol.skipQuestion()),
  });
  const backstage = new Backstage({ wake: () => perform(protocol.wake()) });
  const follow = new Follow();
  const composer = new Composer({
    say,
    edit: (text) => reply(protocol.retell("edit", text)),
    stop: () => perform(protocol.stop()),
    tooLong: (characters, most) =>
      notices.alert({
        message: `This is ${characters} characters long; a turn has at most ${most}.`,
        hint: "Send it in two parts.",
      }),
  });
  const lastTurn = new LastTurn({
    edit() {
      composer.edit(protocol.script.lastTurn);
      draw();
    },
    undo: () => perform(protocol.undo()),
    retell: (action) => reply(protocol.retell(action)),
  });
  const controls = new Controls({
    pause: () => perform(protocol.pause(!protocol.script.prologue.paused)),
    skip: () => reply(protocol.skipPrologue()),
    say,
    comeBack: () => (protocol.away.kind === "deleted" ? turnTo(null) : connection.open()),
  });
  const begin = new Begin({ begin: (wanted) => turnTo(null, wanted) });
  const shelf = new Shelf({
    open(story) {
      shelf.close();
      turnTo(story);
    },
    rename(story, title) {
      if (isHere(story)) perform(protocol.rename(title));
      else sendOff(story, { action: "rename", title }, "session.renamed", () => retitle(story.session_id, title));
    },
    remove(story) {
      const gone = () => forget(story.session_id);
      if (isHere(story)) perform(protocol.delete());
      else sendOff(story, { action: "delete" }, "session.deleted", gone);
    },
    model: (name) => perform(protocol.switchModel(name)),
    copy: (format) => perform(protocol.export(format)),
    worldTitle: (story) => lookOf(config, { ...story, worlds: protocol.house.worlds }).title,
  });
  connection.open();

  function isHere({ session_id }) {
    return protocol.ready && protocol.credentials?.session_id === session_id;
  }

  async function sendOff(story, frame, until, done) {
    try {
      await errand(await tickets.address(), story, frame, until);
      done();
    } catch (error) {
      if (error.code === "unknown_session") forget(story.session_id); // the house has forgotten it already
      else shelf.note(error.message);
    }
    shelf.fill();
  }

  function say(text) {
    reply(protocol.say(newTurnId(), text));
  }

  /** The reader has spoken: old errors are settled, and they want to see what comes. */
  function reply(effects) {
    notices.clear();
    perform(effects);
    follow.toEnd();
  }

  /** Goes on with another story, or with a new one; the one so far stays on the shelf. */
  function turnTo(story, wanted) {
    connection.close();
    leave();
    protocol = new Protocol(story, wanted);
    notices.clear();
    connection.open();
    follow.toEnd();
  }

  function perform(effects) {
    for (const effect of effects) {
      if (effect.do === "send") dispatch(effect.frame);
      else if (effect.do === "remember") remember(effect.story, Date.now());
      else if (effect.do === "forget") forget(effect.session_id);
      else if (effect.do === "announce") notices.announce(effect.text);
      else if (effect.do === "alert") alert(effect);
      else if (effect.do === "unsay") composer.restore(effect.text);
      else if (effect.do === "download") download(effect, document.title);
      else if (effect.do === "leave") {
        connection.close();
        notices.clear();
      }
      if (effect.do === "remember" || effect.do === "forget") shelf.fill();
    }
    draw();
  }

  function dispatch(frame) {
    const text = encode(frame);
    if (text === null) alert(TOO_LARGE);
    else if (!connection.send(text) && FLEETING.has(frame.action)) alert(UNSENT);
  }

  function alert(what) {
    if (shelf.isOpen) shelf.note([what.message, what.hint].filter(Boolean).join(" "));
    else notices.alert(what);
  }

  function draw() {
    if (drawing) return;
    drawing = true;
    requestAnimationFrame(() => {
      drawing = false;
      paint();
    });
  }

  function paint() {
    const look = lookOf(config, protocol.house);
    applyWorld(look, protocol.house.title, protocol.house.language || look.language || "en");
    for (const view of [transcript, question]) view.speakers = look.speakers;
    for (const view of [transcript, question, backstage, composer, lastTurn, controls, begin, shelf]) view.update(protocol);
    notices.update(protocol, connection);
    follow.update();
    clearTimeout(pacing);
    const wait = protocol.script.prologue.wait(performance.now());
    if (wait !== null) pacing = setTimeout(() => perform(protocol.tick(performance.now())), wait);
  }
}
