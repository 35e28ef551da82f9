// Puts the page together: config, story, connection, views.

import { Backstage } from "./backstage.js";
import { Composer } from "./composer.js";
import { Connection, encode } from "./connection.js";
import { Controls } from "./controls.js";
import { recall, remember } from "./credentials.js";
import { drawCurtains } from "./curtain.js";
import { Follow } from "./follow.js";
import { Notices } from "./notices.js";
import { Protocol } from "./protocol.js";
import { Question } from "./question.js";
import { applyWorld } from "./theme.js";
import { Transcript } from "./transcript.js";

const CONFIG = "config.json";
const TOO_LARGE = { message: "This is too large to be sent.", hint: "Send a shorter text." };

drawCurtains();
const notices = new Notices();
try {
  const answer = await fetch(CONFIG, { cache: "no-store" });
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  raise(await answer.json());
} catch (error) {
  const message = `The page could not read its ${CONFIG} (${error.message}).`;
  notices.alert({ message, hint: "Is the stage running? Start it, then load this page again." });
}

async function raise({ websocket, world }) {
  applyWorld(world);
  const credentials = await recall();
  if (credentials) remember(credentials);
  let protocol = new Protocol(credentials);
  let drawing = false; // a frame of the screen is asked for
  let pacing = 0; // the timer of the prologue's next line

  const connection = new Connection(websocket, {
    opened: () => perform(protocol.hello()),
    received(frame) {
      perform(protocol.receive(frame, performance.now()));
      if (frame.type === "session.ready") connection.greeted();
    },
    ping: () => perform(protocol.ping()),
    pingEvery: () => protocol.pingEvery,
    changed: () => draw(),
  });
  const transcript = new Transcript(world.speakers);
  const question = new Question(
    { answer: (given) => reply(protocol.answer(given)), skip: () => reply(protocol.skipQuestion()) },
    world.speakers,
  );
  const backstage = new Backstage({ wake: () => perform(protocol.wake()) });
  const follow = new Follow();
  const composer = new Composer({
    say,
    stop: () => perform(protocol.stop()),
    tooLong: (characters, most) =>
      notices.alert({
        message: `This is ${characters} characters long; a turn has at most ${most}.`,
        hint: "Send it in two parts.",
      }),
  });
  const controls = new Controls({
    pause: () => perform(protocol.pause(!protocol.script.prologue.paused)),
    skip: () => reply(protocol.skipPrologue()),
    say,
    comeBack: () => connection.open(),
    beginAnew,
  });
  connection.open();

  function say(text) {
    reply(protocol.say(newTurnId(), text));
  }

  /** The reader has spoken: old errors are settled, and they want to see what comes. */
  function reply(effects) {
    notices.clear();
    perform(effects);
    follow.toEnd();
  }

  function beginAnew() {
    connection.close();
    remember(null);
    protocol = new Protocol(null);
    notices.clear();
    connection.open();
  }

  function perform(effects) {
    for (const effect of effects) {
      if (effect.do === "send") dispatch(effect.frame);
      else if (effect.do === "remember") remember(effect.credentials);
      else if (effect.do === "announce") notices.announce(effect.text);
      else if (effect.do === "alert") notices.alert(effect);
      else if (effect.do === "unsay") composer.restore(effect.text);
      else if (effect.do === "leave") connection.close();
    }
    draw();
  }

  function dispatch(frame) {
    const text = encode(frame);
    if (text === null) notices.alert(TOO_LARGE);
    else connection.send(text); // on a dead line it is sent again after the reconnect
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
    transcript.update(protocol);
    question.update(protocol);
    backstage.update(protocol);
    composer.update(protocol);
    notices.update(protocol, connection);
    controls.update(protocol);
    follow.update();
    clearTimeout(pacing);
    const wait = protocol.script.prologue.wait(performance.now());
    if (wait !== null) pacing = setTimeout(() => perform(protocol.tick(performance.now())), wait);
  }
}

function newTurnId() {
  const bytes = crypto.getRandomValues(new Uint8Array(9));
  return `t-${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}
