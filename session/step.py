"""One transition in the making: the record so far, and what it asks for."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prologue import dialogue
from session.actions import Action, Post
from session.events import Frame, ModelStatus, PrologueDone, PrologueQuestion, Queue
from session.record import Session, Turn

if TYPE_CHECKING:
    from prologue.world import World


class SeatLost(Exception):
    """Another invocation holds the seat (or none any more): this one must fall silent."""


@dataclass(frozen=True)
class Outcome:
    """What one input leads to.

    Stored together, all or nothing: the new record (None: nothing to store), the finished turns to archive,
    and the versions of an undone turn to remove (number, version). Then the actions, in order.
    """

    session: Session | None
    actions: Sequence[Action] = ()
    archive: Sequence[Turn] = ()
    remove: Sequence[tuple[int, int]] = ()


class Step:
    def __init__(self, session: Session, now: float, world: "World") -> None:
        self.before = session
        self.session = session
        self.now = now
        self.world = world
        self.actions: list[Action] = []
        self.archive: list[Turn] = []
        self.remove: list[tuple[int, int]] = []

    def set(self, **fields: object) -> None:
        self.session = self.session.model_copy(update=fields)

    def set_model(self, **fields: object) -> None:
        self.set(model=self.session.model.model_copy(update=fields))

    def set_seat(self, **fields: object) -> None:
        self.set(seat=self.session.seat.model_copy(update=fields))

    def post(self, frame: Frame) -> None:
        self.actions.append(Post(frame))

    def tell(self, told: dialogue.DialogueState) -> None:
        """Takes the dialogue's new state and posts what it added."""
        since = len(self.session.dialogue.log)
        self.set(dialogue=told)
        for entry in dialogue.entries(told, self.world, since):
            self.post(entry)

    def tell_again(self, question_id: str | None) -> None:
        """Posts once more what followed an answer: the reply, and all up to the next question. None: what
        followed when all that were left were skipped."""
        told = self.session.dialogue
        reply = f"reply:{question_id or ''}"
        since = told.log.index(reply) if reply in told.log else told.log.index("done")  # all were skipped
        entries = dialogue.entries(told, self.world, since)
        ends = [isinstance(entry, PrologueQuestion | PrologueDone) for entry in entries]
        for entry in entries[: ends.index(True) + 1]:
            self.post(entry)

    def post_status(self) -> None:
        """How the model is, and the place in the queue if the house is full. Once per step is enough."""
        status = model_status(self.session, self.now)
        if Post(status) not in self.actions:
            if self.session.model.state == "full":
                self.post_place()
            self.post(status)

    def post_place(self) -> None:
        self.post(Queue(place=self.session.place, eta_s=self.session.model.eta_s))

    def outcome(self) -> Outcome:
        changed = self.session is not self.before
        return Outcome(
            self.session if changed else None, tuple(self.actions), tuple(self.archive), tuple(self.remove)
        )


def model_status(session: Session, now: float) -> ModelStatus:
    model = session.model
    loading = model.state == "loading"
    return ModelStatus(
        name=session.model_name,
        state=model.state,
        loaded_bytes=model.loaded_bytes if loading else None,
        total_bytes=model.total_bytes if loading else None,
        eta_s=expected_s(session, now),
        message=model.message if not 0 < model.rests_until <= now else None,
    )


def expected_s(session: Session, now: float) -> float | None:
    """Seconds until the model is awake: measured while it loads, before that from earlier real starts."""
    model = session.model
    if model.state == "loading" or model.eta_s is None:
        return model.eta_s
    return max(0.0, round(model.eta_s - (now - model.woken_at), 1)) if model.state == "starting" else None
