"""One session driven input by input, and the states that it can be in."""

import dataclasses
from typing import Literal

from session import state
from session.actions import Action, Invoke, Post
from session.events import Frame, PrologueEntry, TurnStatus, Usage
from session.inputs import (
    Began,
    Claimed,
    Deleted,
    Finished,
    HouseFull,
    Input,
    LoadFailed,
    Ready,
    Released,
    Rested,
    Retold,
    Said,
    Skipped,
    Undone,
)
from session.record import OPENING_TURN, Session, Turn
from tests.fakes import emerald_city

WORLD = emerald_city()


@dataclasses.dataclass
class Play:
    """One session, driven input by input. It keeps what the table would keep."""

    session: Session
    now: float = 1000.0
    actions: list[Action] = dataclasses.field(default_factory=list)
    archive: list[Turn] = dataclasses.field(default_factory=list)

    def __call__(self, event: Input) -> "Play":
        outcome = state.receive(self.session, event, self.now, WORLD)
        self.session = outcome.session or self.session
        self.actions = list(outcome.actions)
        self.archive = [t for t in self.archive if (t.number, t.version) not in outcome.remove]
        self.archive.extend(outcome.archive)
        return self

    def write(self, text: str) -> "Play":
        """What the holder's one write per delta does to the live turn."""
        live = self.session.live
        assert live is not None
        grown = {"chunks": (*live.chunks, text), "length": live.length + len(text)}
        self.session = self.session.model_copy(update={"live": live.model_copy(update=grown)})
        return self

    def posted(self, kind: type[Frame]) -> list[Frame]:
        return [a.frame for a in self.actions if isinstance(a, Post) and isinstance(a.frame, kind)]

    def kinds(self) -> list[str]:
        """The types of all frames posted, in order."""
        return [str(getattr(a.frame, "type", "")) for a in self.actions if isinstance(a, Post)]

    def entries(self) -> list[Frame]:
        """The prologue entries among what was posted."""
        return [a.frame for a in self.actions if isinstance(a, Post) and isinstance(a.frame, PrologueEntry)]

    def invoked(self) -> list[int]:
        return [a.epoch for a in self.actions if isinstance(a, Invoke)]

    def turn(self, turn_id: str, version: int = 1) -> Turn | None:
        """A version as archived, which is what a host looks up for the rules."""
        return next((t for t in self.archive if (t.turn_id, t.version) == (turn_id, version)), None)


# ---- inputs ---------------------------------------------------------------------------------------------


def say(turn_id: str = "t1", text: str = "I open the gate.", faq: str | None = None) -> Said:
    return Said(turn_id=turn_id, text=text, seed=1, faq=faq)


Kind = Literal["retry", "edit", "continue", "not_faq"]


def retold(play: Play, kind: Kind = "retry", turn_id: str = "t1", version: int = 1, text: str = "") -> Retold:
    turn = play.turn(turn_id, version)
    return Retold(kind=kind, turn_id=turn_id, version=version, seed=2, turn=turn, text=text or None)


def undone(play: Play, turn_id: str = "t1") -> Undone:
    before = [turn for turn in play.archive if turn.turn_id != turn_id]
    return Undone(turn_id=turn_id, previous=before[-1] if before else None)


# ---- what a holder does ---------------------------------------------------------------------------------


def hold(play: Play, holder: str = "r9") -> Play:
    """A holder comes for the seat's epoch, with the model awake, and takes the waiting turn."""
    epoch = play.session.seat.epoch
    return play(Claimed(epoch=epoch, holder=holder))(Ready(epoch=epoch, seed=5))(Began(epoch=epoch))


def finish(
    play: Play,
    turn_id: str = OPENING_TURN,
    version: int = 1,
    status: TurnStatus = "completed",
    reason: str = "stop",
    tokens: int = 0,
) -> Play:
    done = Finished(
        epoch=play.session.seat.epoch,
        turn_id=turn_id,
        version=version,
        status=status,
        finish_reason=reason,
        usage=Usage(completion_tokens=tokens),
    )
    return play(done)


def release(play: Play) -> Play:
    return play(Released(epoch=play.session.seat.epoch, work_seq=play.session.work_seq))


# ---- states ---------------------------------------------------------------------------------------------


def begin() -> Play:
    session = Session(
        session_id="s1",
        resume_hash="h",
        world="emerald-city",
        model_name="demo",
        created=1000.0,
        expires=9_999_999_999,
        connection_id="c1",
        connected_at=1000.0,
    )
    outcome = state.start(session, "key", 1000.0, WORLD)
    assert outcome.session is not None
    return Play(outcome.session, actions=list(outcome.actions))


def awaiting() -> Play:
    """The prologue is over; the model function was asked for, but has not come."""
    return begin()(Skipped(question_id=None))


def telling() -> Play:
    """The opening scene is being told by holder `r1` of epoch 1."""
    return hold(awaiting(), "r1")


def story() -> Play:
    """The opening scene was told; the seat is free."""
    return release(finish(telling().write("The gate stands open.")))


def failed() -> Play:
    """The prologue is over, and the model could not be loaded."""
    return awaiting()(Claimed(epoch=1, holder="r1"))(LoadFailed(epoch=1, message="weights.bin is damaged"))


def resting() -> Play:
    """The prologue is over, and the day's model seconds are spent."""
    return awaiting()(Rested(epoch=1, until=86_400.0))


def waiting() -> Play:
    """Turn `t1` waits for the model."""
    return story()(say("t1"))


def queued() -> Play:
    """Turn `t1` waits, and the house is full."""
    play = waiting()
    return play(HouseFull(epoch=play.session.seat.epoch, place=2, eta_s=40.0))


def running() -> Play:
    """Turn `t1` is being told."""
    return hold(waiting()).write("You step through it.")


def told() -> Play:
    """Turn `t1` was told whole; nothing runs."""
    return release(finish(running(), "t1"))


def broken_off() -> Play:
    """Turn `t1` was told in part; nothing runs."""
    return release(finish(running(), "t1", status="incomplete", reason="deadline"))


def told_anew() -> Play:
    """Turn `t1` was told whole, and waits to be told once more."""
    play = told()
    return play(retold(play))


def from_faq() -> Play:
    """Turn `t1` was answered from the FAQ; nothing runs."""
    return story()(say("t1", "What is this?", faq="It is a story house."))


def deleted() -> Play:
    return told()(Deleted())
