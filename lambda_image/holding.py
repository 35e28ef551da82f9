"""A seat, as the invocation that holds it uses it."""

from collections.abc import Callable
from typing import TypeVar

from lambda_image.audience import Audience
from lambda_image.slot import Slot
from lambda_image.tasks import Tasks
from session.inputs import Input
from session.limits import limits
from session.record import Session, Turn
from session.runner import Runner
from session.step import SeatLost
from session.store import StoreBusy

_T = TypeVar("_T")
_FIRST_WAIT_S = 0.1


class Holding:
    """All that a holder does to its session goes through here: with its epoch, or not at all.

    While the table is busy it tries again, until its invocation has to end. `session`: as it was claimed.
    `deadline` is in monotonic seconds; so is `since`, from when on what this environment does is this
    session's to answer for.
    """

    def __init__(self, runner: Runner, tasks: Tasks, session: Session, deadline: float, since: float) -> None:
        self.runner = runner
        self.tasks = tasks
        self.deadline = deadline
        self.session_id = session.session_id
        self.epoch = session.seat.epoch
        self.holder = session.seat.holder
        self.model_name = session.model_name
        self.slot = Slot(runner, tasks, session, since)
        self.asked_at = tasks.monotonic()  # when the record was last asked for: so old is what it says
        self._audience = Audience(tasks)

    def apply(self, event: Input) -> Session:
        """Raises SeatLost, UnknownSession, Refusal: the session has gone on without this holder."""
        return self._patiently(lambda: self.runner.apply(self.session_id, event))

    def look(self) -> Session:
        """The record, if the seat is still ours. Raises SeatLost, UnknownSession."""
        session = self._patiently(lambda: self.runner.load(self.session_id))
        if (session.seat.epoch, session.seat.holder) != (self.epoch, self.holder) or session.deleted:
            raise SeatLost(f"epoch {self.epoch} was followed by {session.seat.epoch}")
        return session

    def append(self, session: Session, offset: int, text: str) -> Session:
        """The one write per delta. Raises SeatLost."""
        return self._patiently(
            lambda: self.runner.store.append_delta(
                session, offset=offset, text=text, seat_expires=self.runner.clock() + limits().seat_s
            )
        )

    def turns(self) -> list[Turn]:
        """The story so far. What it says of a stop, or of the seat, is nothing."""
        return patiently(
            self.tasks,
            self.deadline,
            lambda: self.runner.store.turns(self.session_id, self.runner.clock()),
        )

    def deserted(self, session: Session) -> bool:
        """Whether the listener has been gone for longer than the grace."""
        return self._audience.gone(session, self.runner.clock())

    def left_s(self) -> float:
        """Until the invocation must be over."""
        return self.deadline - self.tasks.monotonic()

    def _patiently(self, work: Callable[[], _T]) -> _T:
        return patiently(self.tasks, self.deadline, work, self._note_asking)

    def _note_asking(self) -> None:
        self.asked_at = self.tasks.monotonic()


def patiently(
    tasks: Tasks, deadline: float, work: Callable[[], _T], before: Callable[[], None] = lambda: None
) -> _T:
    """Does `work`, again and again while the table is busy. Raises StoreBusy once the deadline is near."""
    wait = _FIRST_WAIT_S
    while True:
        before()
        try:
            return work()
        except StoreBusy:
            if tasks.monotonic() + wait > deadline:
                raise
        tasks.sleep(wait)
        wait = min(2 * wait, limits().stop_poll_s)  # there may be a stop
