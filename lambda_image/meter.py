"""Books what this environment works for one session against the day's caps."""

import logging

from lambda_image.tasks import Tasks
from session import telemetry
from session.limits import limits
from session.record import Session
from session.runner import Runner
from session.store import StoreBusy

log = logging.getLogger(__name__)
INIT_S = 10.0  # Lambda allows no longer init; a process that is older was frozen


class Meter:
    """Books every minute, so that a crash loses no more. What can't be booked now is booked later.

    Args:
        since: up to when this environment's seconds are booked (monotonic).
    """

    def __init__(self, runner: Runner, tasks: Tasks, session: Session, since: float) -> None:
        self._ledger = runner.ledger
        self._tasks = tasks
        self._session = session
        self.since = since

    def keep(self) -> None:
        """Books when it is time."""
        if self._tasks.monotonic() - self.since >= limits().booking_s:
            self.book()

    def book(self) -> None:
        now = self._tasks.monotonic()
        try:
            self._ledger.book(self._session, now - self.since)
        except StoreBusy as busy:
            log.warning("%.1f model seconds were not booked: %s", now - self.since, busy)
            return
        telemetry.emit({"ModelSeconds": now - self.since})
        self.since = now
