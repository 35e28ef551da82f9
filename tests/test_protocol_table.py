"""The state x action table of `docs/protocol.md`: every cell is what the session really does."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from session.actions import Invoke, Post, PostSnapshot, PostTo
from session.errors import Refusal
from session.inputs import (
    Answered,
    Began,
    Claimed,
    Disconnected,
    Input,
    Paused,
    Pinged,
    Ready,
    Resumed,
    Skipped,
    Stopped,
    Woken,
)
from tests.playing import Play, awaiting, begin, failed, say, story, telling

PROTOCOL = Path(__file__).parent.parent / "docs" / "protocol.md"


def waiting() -> Play:
    return story()(say("t1"))


def running() -> Play:
    return waiting()(Claimed(epoch=2, holder="r2"))(Ready(epoch=2, seed=1))(Began(epoch=2))


STATES: dict[str, Callable[[], Play]] = {
    "prologue": begin,
    "awaiting": awaiting,
    "opening": telling,
    "story": story,
    "waiting": waiting,
    "running": running,
    "failed": failed,
}
ACTIONS: dict[str, Input] = {
    "hello (resume)": Resumed(connection_id="c2"),
    "answer": Answered(question_id="name", choice=None, text="Ada"),
    "skip": Skipped(question_id=None),
    "pause": Paused(paused=True),
    "say": say("t2"),
    "say (FAQ)": say("t2", faq="It is a story house."),
    "say (same turn)": say("t1"),
    "stop (this turn)": Stopped(turn_id="t1"),
    "stop (unknown turn)": Stopped(turn_id="t9"),
    "wake": Woken(),
    "ping": Pinged(turn_id=None),
    "$disconnect": Disconnected(connection_id="c1"),
}


def outcome(play: Play, event: Input) -> str:
    """What a listener and the platform see of one input, in the words of the table."""
    before, archived = play.session, len(play.archive)
    try:
        play(event)
    except Refusal as refusal:
        return f"`{refusal.code}`"
    words: list[str] = []
    for action in play.actions:
        match action:
            case Post(frame):
                word = str(getattr(frame, "type", "")).removeprefix("prologue.")
            case PostTo():
                word = "superseded to the old one"
            case PostSnapshot():
                word = "snapshot"
            case Invoke():
                word = "invoke"
        if word not in words:
            words.append(word)
    if len(play.archive) > archived:
        words.append(f"turn {play.archive[-1].status}")
    if not words:
        words.append("nothing" if play.session == before else "noted")
    return ", ".join(words)


def table() -> dict[tuple[str, str], str]:
    """(action, state) -> cell, as the document has it."""
    rows = [
        [cell.strip() for cell in line.strip("|\n").split("|")]
        for line in PROTOCOL.read_text(encoding="utf-8").splitlines()
        if re.match(r"\| (action \\ state|\*\*)", line)
    ]
    header, *body = rows
    return {
        (row[0].strip("* "), state): cell
        for row in body
        for state, cell in zip(header[1:], row[1:], strict=True)
    }


def test_the_table_has_every_action_in_every_state() -> None:
    assert set(table()) == {(action, state) for action in ACTIONS for state in STATES}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("action", ACTIONS)
def test_a_cell_is_what_happens(action: str, state: str) -> None:
    assert outcome(STATES[state](), ACTIONS[action]) == table()[action, state]
