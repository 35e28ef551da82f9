"""The two clients, the terminal's and the page's, held to the same vectors (`tests/conformance/`)."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from local.story import Story
from session.events import SessionSnapshot, server_frames
from session.requests import client_frames
from tests.page_stage import PageStage

pytest_plugins = ["tests.browser"]

VECTORS = sorted(Path(__file__).with_name("conformance").glob("*.json"))
READY = {"type": "session.ready", "v": 1, "session_id": "s", "resume_key": "k", "resumed": False}
READY |= {"world": "w", "model": "m", "models": ["m"]}
RUN = """async ({ ready, steps }) => {
  const { Protocol } = await import("/js/protocol.js");
  const protocol = new Protocol(null);
  protocol.receive(ready, 0);
  const wish = ({ do: what, turn_id, text }) =>
    what === "say" ? protocol.say(turn_id, text)
    : ["hello", "stop", "undo"].includes(what) ? protocol[what]()
    : protocol.retell(what, text);
  const log = steps.map((step) => {
    const effects = step.frame ? protocol.receive(step.frame, 0) : wish(step);
    const frames = effects.filter((effect) => effect.do === "send").map(({ frame }) => frame);
    const hello = ({ action }) => action === "hello";
    return step.frame
      ? { asks: frames.some(hello), sends: frames.filter((frame) => !hello(frame)) }
      : { asks: false, sends: frames };
  });
  const turns = [...protocol.script.turns.values()].map(({ id, versions, newest }) => ({
    turn_id: id,
    version: newest.number,
    said: newest.said,
    text: newest.shown,
    status: newest.status,
    earlier: versions.slice(0, -1).map(({ text }) => text),
  }));
  return JSON.parse(JSON.stringify({ log, turns }));
}"""


def test_there_are_vectors_of_known_frames_only() -> None:
    assert len(VECTORS) >= 30
    for path in VECTORS:
        vector = json.loads(path.read_text(encoding="utf-8"))
        for step in vector["steps"]:
            if "frame" in step:
                server_frames.validate_python(step["frame"])
            for frame in step.get("sends", []):
                client_frames.validate_python(frame)


@pytest.fixture(scope="module")
def page(browser: Browser) -> Iterator[Page]:
    with PageStage() as stage, browser.new_context() as context:
        page = context.new_page()
        page.goto(stage.url)
        yield page


@pytest.mark.parametrize("path", VECTORS, ids=lambda path: path.stem)
def test_the_terminals_client_conforms(path: Path) -> None:
    vector = json.loads(path.read_text(encoding="utf-8"))
    story = Story()
    story.receive(server_frames.validate_python(READY))
    log = [_take(story, step) for step in vector["steps"]]
    turns = [
        {
            "turn_id": turn.turn_id,
            "version": turn.version,
            "said": turn.said,
            "text": turn.shown,
            "status": turn.status,
            "earlier": [before.text for before in turn.earlier],
        }
        for turn in story.turns.values()
    ]
    _compare(vector, log, turns)


@pytest.mark.parametrize("path", VECTORS, ids=lambda path: path.stem)
def test_the_page_conforms(page: Page, path: Path) -> None:
    vector = json.loads(path.read_text(encoding="utf-8"))
    result = page.evaluate(RUN, {"ready": READY, "steps": vector["steps"]})
    _compare(vector, result["log"], result["turns"])


def _take(story: Story, step: dict[str, Any]) -> dict[str, Any]:
    if "frame" in step:
        frame = server_frames.validate_python(step["frame"])
        asks = story.receive(frame)
        whole = isinstance(frame, SessionSnapshot) and story.held is None
        return {"asks": asks, "sends": story.unconfirmed if whole else []}
    sent: dict[str, Any] | None
    match step["do"]:
        case "hello":
            sent = story.hello()
        case "say":
            sent = story.say(step["turn_id"], step["text"])
        case "stop":
            sent = story.stop()
        case "undo":
            sent = story.undo()
        case action:
            sent = story.retell(action, step.get("text"))
    return {"asks": False, "sends": [] if sent is None else [sent]}


def _compare(vector: dict[str, Any], log: list[dict[str, Any]], turns: list[dict[str, Any]]) -> None:
    for number, (step, did) in enumerate(zip(vector["steps"], log, strict=True)):
        assert did["asks"] == step.get("asks", False), f"step {number}: {step}"
        if "sends" in step:
            assert did["sends"] == step["sends"], f"step {number}: {step}"
    assert turns == vector["turns"]
