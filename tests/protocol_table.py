"""The state x action table of `docs/protocol.md`, from what the session core really does.

`python -m tests.protocol_table docs/protocol.md` writes it anew; then read what changed: the rules are
right only if each cell is what a listener would want.
"""

import re
import sys
from collections.abc import Callable
from pathlib import Path

from session import state
from session.actions import Erase, Invoke, Post, PostSnapshot, PostTo
from session.errors import Refusal
from session.inputs import (
    Answered,
    Called,
    Deleted,
    Disconnected,
    HouseFull,
    Input,
    InvokeFailed,
    ModelChosen,
    Paused,
    Pinged,
    Renamed,
    Rested,
    Resumed,
    Skipped,
    Stopped,
    Woken,
)
from session.record import OPENING_TURN
from session.step import SeatLost
from tests import playing
from tests.playing import WORLD, Play, retold, say, undone
from tests.protocol_house import QUESTION, House

START = "<!-- state x action: made by tests/protocol_table.py -->"
END = "<!-- end -->"

# Two tables, so that a screen is wide enough.
STATES: tuple[dict[str, Callable[[], Play]], ...] = (
    {
        "prologue": playing.begin,
        "awaiting": playing.awaiting,
        "failed": playing.failed,
        "resting": playing.resting,
        "opening": playing.telling,
        "deleted": playing.deleted,
    },
    {
        "story": playing.told,
        "broken off": playing.broken_off,
        "faq last": playing.from_faq,
        "waiting": playing.waiting,
        "queued": playing.queued,
        "running": playing.running,
        "retold": playing.told_anew,
    },
)
Make = Callable[[Play], Input]


def _mine(play: Play) -> str:
    """The turn that a listener in this state would name."""
    live, last = play.session.live, play.session.last
    return live.turn_id if live else last.turn_id if last else "t1"


def _epoch(play: Play) -> int:
    return play.session.seat.epoch


ACTIONS: dict[str, Make] = {
    "hello (resume)": lambda _: Resumed(connection_id="c2"),
    "answer": lambda _: Answered(question_id="name", choice=None, text="Ada"),
    "skip (a question)": lambda _: Skipped(question_id="name"),
    "skip (all)": lambda _: Skipped(question_id=None),
    "pause": lambda _: Paused(paused=True),
    "say": lambda _: say("t2"),
    "say (FAQ)": lambda _: say("t2", faq="It is a story house."),
    "say (`t1` again)": lambda _: say("t1"),
    "stop": lambda play: Stopped(turn_id=_mine(play)),
    "stop (turn not seen yet)": lambda _: Stopped(turn_id="t9"),
    "retry": lambda play: retold(play, "retry", _mine(play)),
    "retry (older turn)": lambda play: retold(play, "retry", OPENING_TURN),
    "edit": lambda play: retold(play, "edit", _mine(play), text="I knock."),
    "continue": lambda play: retold(play, "continue", _mine(play)),
    "not_faq": lambda play: retold(play, "not_faq", _mine(play)),
    "undo": lambda play: undone(play, _mine(play)),
    "model": lambda _: ModelChosen(name="other", state="cold", typical_s=None),
    "model (the same)": lambda _: ModelChosen(name="demo", state="cold", typical_s=None),
    "rename": lambda _: Renamed(title="The gate"),
    "delete": lambda _: Deleted(),
    "wake": lambda _: Woken(),
    "ping": lambda play: Pinged(turn_id=_mine(play)),
    "`$disconnect`": lambda _: Disconnected(connection_id="c1"),
    "`$disconnect` (older connection)": lambda _: Disconnected(connection_id="c0"),
    "invoke failed": lambda play: InvokeFailed(epoch=_epoch(play), message="x"),
    "invoke throttled": lambda play: InvokeFailed(epoch=_epoch(play), message="x", again=True),
    "house full (place 3)": lambda play: HouseFull(epoch=_epoch(play), place=3, eta_s=9.0),
    "house full (no place)": lambda play: HouseFull(epoch=_epoch(play), place=None, eta_s=None),
    "day's seconds spent": lambda play: Rested(epoch=_epoch(play), until=86_400.0),
    "called": lambda _: Called(holder="r8"),
}


# The same as a client sends it. What only the platform says is not here; `world`, `list` and `export` are the
# light function's own, and not for the session's rules.
FRAMES: dict[str, Callable[[Play], dict[str, object]]] = {
    "hello (resume)": lambda _: {"action": "hello", "v": 1, "session_id": "s1", "resume_key": "key"},
    "answer": lambda _: {"action": "answer", "question_id": "name", "text": "Ada"},
    "skip (a question)": lambda _: {"action": "skip", "question_id": "name"},
    "skip (all)": lambda _: {"action": "skip"},
    "pause": lambda _: {"action": "pause"},
    "say": lambda _: {"action": "say", "turn_id": "t2", "text": "I knock."},
    "say (FAQ)": lambda _: {"action": "say", "turn_id": "t2", "text": QUESTION},
    "say (`t1` again)": lambda _: {"action": "say", "turn_id": "t1", "text": "I open the gate."},
    "stop": lambda play: {"action": "stop", "turn_id": _mine(play)},
    "stop (turn not seen yet)": lambda _: {"action": "stop", "turn_id": "t9"},
    "retry": lambda play: {"action": "retry", "turn_id": _mine(play), "version": 1},
    "retry (older turn)": lambda _: {"action": "retry", "turn_id": OPENING_TURN, "version": 1},
    "edit": lambda play: {"action": "edit", "turn_id": _mine(play), "version": 1, "text": "I knock."},
    "continue": lambda play: {"action": "continue", "turn_id": _mine(play), "version": 1},
    "not_faq": lambda play: {"action": "not_faq", "turn_id": _mine(play), "version": 1},
    "undo": lambda play: {"action": "undo", "turn_id": _mine(play)},
    "model": lambda _: {"action": "model", "name": "other"},
    "model (the same)": lambda _: {"action": "model", "name": "demo"},
    "world": lambda _: {"action": "world", "name": "lighthouse"},
    "list": lambda _: {"action": "list"},
    "rename": lambda _: {"action": "rename", "title": "The gate"},
    "export": lambda _: {"action": "export"},
    "delete": lambda _: {"action": "delete"},
    "wake": lambda _: {"action": "wake"},
    "ping": lambda play: {"action": "ping", "turn_id": _mine(play)},
}
ROWS = (*FRAMES, *(name for name in ACTIONS if name not in FRAMES))


def of_the_house(name: str, play: Play) -> str:
    """What the light function makes of a row's frame."""
    return House(play).send("c2" if name.startswith("hello") else "c1", **FRAMES[name](play))


def of_the_core(name: str, play: Play) -> str:
    """What the session's rules make of a row's input."""
    return outcome(play, ACTIONS[name](play))


def outcome(play: Play, event: Input) -> str:
    """What a listener and the platform see of one input, in the words of the table."""
    before, archived = play.session, len(play.archive)
    try:
        result = state.receive(before, event, play.now, WORLD)
        play(event)
    except Refusal as refusal:
        return f"`{refusal.code}`"
    except SeatLost:
        return "seat lost"
    words: list[str] = []
    for action in play.actions:
        match action:
            case Post(frame):
                word = str(getattr(frame, "type", "")).removeprefix("prologue.")
                if word in ("model.status", "error"):
                    word += f" {getattr(frame, 'state', '') or getattr(frame, 'code', '')}"
            case PostTo():
                word = "superseded to the old one"
            case PostSnapshot():
                word = "snapshot"
            case Invoke():
                word = "invoke"
            case Erase():
                word = "erased"
        if word not in words:
            words.append(word)
    if result.archive:
        words.append(f"turn {result.archive[-1].status}")
    if result.remove:
        words.append(f"{archived - len(play.archive)} removed")
    if not words:
        words.append("nothing" if play.session == before else "noted")
    return ", ".join(words)


def render() -> str:
    tables = []
    for states in STATES:
        lines = [f"| action \\ state | {' | '.join(states)} |", "|---" * (len(states) + 1) + "|"]
        for name in ROWS:
            made = of_the_core if name in ACTIONS else of_the_house
            row = (made(name, begin()) for begin in states.values())
            lines.append(f"| **{name}** | {' | '.join(row)} |")
        tables.append("\n".join(lines))
    return "\n\n".join(tables)


def cells(text: str) -> dict[tuple[str, str], str]:
    """(action, state) -> cell, as a document has it."""
    found: dict[tuple[str, str], str] = {}
    header: list[str] = []
    for line in text.splitlines():
        if re.match(r"\| (action \\ state|\*\*)", line):
            name, *row = (cell.strip() for cell in line.strip("|\n").split("|"))
            if name.startswith("action"):
                header = row
            else:
                found |= {((name.strip("* ")), state): cell for state, cell in zip(header, row, strict=True)}
    return found


def main(path: Path) -> None:
    before, _, rest = path.read_text(encoding="utf-8").partition(START)
    _, _, after = rest.partition(END)
    path.write_text(f"{before}{START}\n{render()}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
