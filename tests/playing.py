"""One session driven input by input, and the states that it can be in."""

import dataclasses

from session import state
from session.actions import Action, Invoke, Post
from session.events import Frame, PrologueEntry
from session.inputs import Began, Claimed, Finished, Input, LoadFailed, Ready, Released, Said, Skipped
from session.record import OPENING_TURN, Session, Turn
from tests.fakes import emerald_city

WORLD = emerald_city()


@dataclasses.dataclass
class Play:
    """One session, driven input by input."""

    session: Session
    now: float = 1000.0
    actions: list[Action] = dataclasses.field(default_factory=list)
    archive: list[Turn] = dataclasses.field(default_factory=list)

    def __call__(self, event: Input) -> "Play":
        outcome = state.receive(self.session, event, self.now, WORLD)
        self.session = outcome.session or self.session
        self.actions = list(outcome.actions)
        self.archive.extend(outcome.archive)
        return self

    def posted(self, kind: type[Frame]) -> list[Frame]:
        return [a.frame for a in self.actions if isinstance(a, Post) and isinstance(a.frame, kind)]

    def entries(self) -> list[Frame]:
        """The prologue entries among what was posted."""
        return [a.frame for a in self.actions if isinstance(a, Post) and isinstance(a.frame, PrologueEntry)]

    def invoked(self) -> list[int]:
        return [a.epoch for a in self.actions if isinstance(a, Invoke)]


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
    play = awaiting()(Claimed(epoch=1, holder="r1"))(Ready(epoch=1, seed=5))
    return play(Began(epoch=1))


def story() -> Play:
    """The opening scene was told; the seat is free."""
    play = finish(telling())
    return play(Released(epoch=1, work_seq=play.session.work_seq))


def finish(play: Play, turn_id: str = OPENING_TURN) -> Play:
    done = Finished(
        epoch=play.session.seat.epoch,
        turn_id=turn_id,
        version=1,
        status="completed",
        finish_reason="stop",
    )
    return play(done)


def say(turn_id: str = "t1", text: str = "I open the gate.", faq: str | None = None) -> Said:
    return Said(turn_id=turn_id, text=text, seed=1, faq=faq)


def failed() -> Play:
    """The prologue is over, and the model could not be loaded."""
    return awaiting()(Claimed(epoch=1, holder="r1"))(LoadFailed(epoch=1, message="weights.bin is damaged"))
