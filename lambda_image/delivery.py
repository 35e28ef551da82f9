"""Carries a turn's text from the decode loop to the listener, beside it.

Text is gathered, stored by the one write per delta, and only then posted. The same write tells of a stop, of
the listener's connection and of a lost seat, so `should_stop` costs the decode loop nothing.
"""

import logging
from collections import deque
from typing import Literal

from lambda_image.holding import Holding
from lambda_image.tasks import Task
from session.events import TurnDelta
from session.inputs import Disconnected, Renewed
from session.limits import limits
from session.pieces import pieces
from session.posting import Gone, NotPosted
from session.record import Session
from session.runner import LOST
from session.step import SeatLost

log = logging.getLogger(__name__)
Reason = Literal["stopped", "listener_gone", "seat_lost", "delivery_failed"]


class Delivery:
    """One turn's delivery. `session` is the record with the turn running, as last stored."""

    def __init__(self, holding: Holding, session: Session) -> None:
        assert session.live is not None
        self._holding = holding
        self._tasks = holding.tasks
        self._session = session
        self._turn = session.live
        self._stored = session.live.length
        self._unposted = ""  # the end of what is stored
        self._put: deque[str] = deque()
        self._gathered = ""
        self._closed = False
        self._wakeup = self._tasks.signal()
        self._store_due = self._post_due = self._renewed_at = self._tasks.monotonic()
        self._interval = limits().delta_interval_s  # grows while the gateway refuses
        self._task: Task | None = None
        self.reason: Reason | None = None  # why the decode loop must end, if it must

    def start(self) -> None:
        self._task = self._tasks.spawn("delivery", self._run)

    def should_stop(self) -> bool:
        return self.reason is not None

    def put(self, text: str) -> None:
        """Hands over text; never waits for the network."""
        self._put.append(text)
        self._wakeup.notify()

    def finish(self) -> None:
        """Delivers what is left and waits for that."""
        self._closed = True
        self._wakeup.notify()
        if self._task is not None:
            self._task.join()

    def _run(self) -> None:
        try:
            while self._round():
                self._holding.slot.keep()
        except LOST:
            self.reason = "seat_lost"
        except Exception:  # the boundary of its thread: the turn must end, and the log must say why
            log.exception("delivery of turn %s failed", self._turn.turn_id)
            self.reason = "delivery_failed"

    def _round(self) -> bool:
        """Stores what there is, or looks at the record; then posts. Returns whether there may be more."""
        text, closed = self._take()
        if text:
            self._store(text)
        elif self._unposted or not closed:
            self._look()
        if self._session.stop:
            self.reason = "stopped"
            return False
        if self._holding.deserted(self._session):
            self.reason = "listener_gone"
        if self._unposted and (closed or self._tasks.monotonic() >= self._post_due):
            self._post()
        return bool(text) or not closed

    def _take(self) -> tuple[str, bool]:
        """Waits until text is due to be stored, the turn is over, or it is time to look at the record."""
        look = self._holding.asked_at + limits().stop_poll_s
        while True:
            closed = self._closed
            while self._put:
                self._gathered += self._put.popleft()
            now = self._tasks.monotonic()
            due = self._store_due if self._gathered else look
            if closed or now >= due or len(self._gathered) >= limits().delta_chars:
                break
            self._wakeup.wait(due - now)
        text, self._gathered = self._gathered, ""
        return text, closed

    def _store(self, text: str) -> None:
        self._session = self._holding.append(self._session, self._stored, text)
        self._stored += len(text)
        self._unposted += text
        self._renewed_at = self._tasks.monotonic()
        self._store_due = self._renewed_at + limits().delta_interval_s

    def _look(self) -> None:
        """Nothing to store (a long prefill): read the flags, and renew the seat when it is time."""
        if self._tasks.monotonic() - self._renewed_at >= limits().renew_s:
            session = self._holding.apply(Renewed(epoch=self._holding.epoch))
            self._renewed_at = self._tasks.monotonic()
        else:
            session = self._holding.look()
        live = session.live
        if live is None or (live.turn_id, live.version) != (self._turn.turn_id, self._turn.version):
            raise SeatLost(f"turn {self._turn.turn_id} has ended without us")
        self._session = session

    def _post(self) -> None:
        """Posts what is stored and was not posted; what is refused goes out with what comes next."""
        if self._tasks.monotonic() - self._holding.asked_at > limits().stop_poll_s:
            return  # the table was slow: by now the turn may have been stopped
        connection_id = self._session.connection_id
        if connection_id is None:  # hello tells it all
            self._unposted = ""
            return
        try:
            for text in pieces(self._unposted):
                frame = TurnDelta(
                    turn_id=self._turn.turn_id,
                    version=self._turn.version,
                    offset=self._stored - len(self._unposted),
                    text=text,
                )
                self._holding.runner.poster.post(connection_id, frame)
                self._unposted = self._unposted[len(text) :]
        except NotPosted as refused:
            self._interval = min(2 * self._interval, limits().delta_slowest_s)
            self._post_due = self._tasks.monotonic() + self._interval
            log.info("turn %s waits %.2f s: %s", self._turn.turn_id, self._interval, refused)
        except Gone:
            self._unposted = ""
            self._session = self._holding.apply(Disconnected(connection_id=connection_id))
        else:
            self._interval = max(self._interval / 2, limits().delta_interval_s)
