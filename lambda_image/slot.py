"""The lease of this environment's work: renewed and paid for while a holder is there, given back last."""

import logging

from lambda_image.meter import Meter
from lambda_image.tasks import Tasks
from session.capacity import BUSY, Capacity
from session.limits import limits
from session.record import Session
from session.runner import Runner

log = logging.getLogger(__name__)


class Slot:
    """One seat's slot in its model's house. It says who pays and who is next, never who may speak: so what
    can't be written now is written later, or the lease runs out. `since` as in `Meter`."""

    def __init__(self, runner: Runner, tasks: Tasks, session: Session, since: float) -> None:
        self.meter = Meter(runner, tasks, session, since)
        self._capacity = runner.capacity
        self._tasks = tasks
        self._model = session.model_name
        self._place = session.session_id, session.seat.epoch
        self._renewed_at: float | None = None

    def keep(self) -> None:
        """Renews the lease when it is time."""
        self.meter.keep()
        now = self._tasks.monotonic()
        if self._renewed_at is not None and now - self._renewed_at < limits().slot_s / 3:
            return
        try:
            self._capacity.hold(self._model, *self._place)
            self._renewed_at = now
        except BUSY as busy:
            log.warning("the slot of session %s was not renewed: %s", self._place[0], busy)

    def note_start(self, seconds: float) -> None:
        """The model has really started, in so long."""
        try:
            self._capacity.note_start(self._model, seconds)
        except BUSY as busy:
            log.warning("a start of %.1f s was not noted: %s", seconds, busy)

    def give_back(self, *, to_next: bool) -> str | None:
        """Leaves; with `to_next` returns the session that has the slot now, if one waits."""
        self.meter.book()
        return hand_over(self._capacity, self._model, *self._place, to_next=to_next)


def hand_over(
    capacity: Capacity, model_name: str, session_id: str, epoch: int, *, to_next: bool
) -> str | None:
    try:
        return capacity.hand_over(model_name, session_id, epoch, to_next=to_next)
    except BUSY as busy:
        log.warning("the slot of session %s was not given back: %s", session_id, busy)
        return None
