"""Carries a turn's text from the decode loop to the listener, on a thread of its own.

Text is gathered, stored by the one write per delta, and only then posted. The same write tells of a stop, of
the listener's connection and of a lost seat, so `should_stop` costs the decode loop nothing.
"""

import logging
import threading
import time
from typing import Literal

from session.events import TurnDelta
from session.inputs import Disconnected, Renewed
from session.limits import limits
from session.record import Session
from session.runner import Runner, UnknownSession
from session.step import SeatLost

log = logging.getLogger(__name__)
Reason = Literal["stopped", "listener_gone", "seat_lost", "delivery_failed"]


class Delivery:
    """One turn's delivery. `session` is the record with the turn running, as last stored."""

    def __init__(self, runner: Runner, session: Session) -> None:
        assert session.live is not None
        self._runner = runner
        self._session = session
        self._turn = session.live
        self._epoch = session.seat.epoch
        self._offset = session.live.length
        self._buffer: list[str] = []
        self._closed = False
        self._wakeup = threading.Condition()
        self._sent_at = 0.0
        self._renewed_at = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="delivery", daemon=True)
        self.reason: Reason | None = None  # why the decode loop must end, if it must

    def start(self) -> None:
        self._thread.start()

    def should_stop(self) -> bool:
        return self.reason is not None

    def put(self, text: str) -> None:
        """Hands over text; never waits for the network."""
        with self._wakeup:
            self._buffer.append(text)
            self._wakeup.notify()

    def finish(self) -> None:
        """Delivers what is left and waits for the thread."""
        with self._wakeup:
            self._closed = True
            self._wakeup.notify()
        self._thread.join()

    def _run(self) -> None:
        try:
            while True:
                text, closed = self._take()
                if text:
                    self._deliver(text)
                elif closed:
                    return
                else:
                    self._look()
                if self.reason in ("seat_lost", "stopped"):
                    return
        except (SeatLost, UnknownSession):
            self.reason = "seat_lost"
        except Exception:  # the thread's boundary: the turn must end, and the log must say why
            log.exception("delivery of turn %s failed", self._turn.turn_id)
            self.reason = "delivery_failed"

    def _take(self) -> tuple[str, bool]:
        """Waits until a delta is due, the turn is over, or it is time to look at the record."""
        due = self._sent_at + limits().delta_interval_s
        look = time.monotonic() + limits().stop_poll_s
        with self._wakeup:
            while not self._closed:
                now = time.monotonic()
                if now >= (due if self._buffer else look):
                    break
                self._wakeup.wait((due if self._buffer else look) - now)
            text = "".join(self._buffer)
            self._buffer.clear()
            return text, self._closed

    def _deliver(self, text: str) -> None:
        self._session = self._runner.store.append_delta(
            self._session,
            offset=self._offset,
            text=text,
            seat_expires=self._runner.clock() + limits().seat_s,
        )
        offset, self._offset = self._offset, self._offset + len(text)
        self._sent_at = self._renewed_at = time.monotonic()
        self._heed()
        if self.reason == "stopped":
            return
        frame = TurnDelta(turn_id=self._turn.turn_id, version=self._turn.version, offset=offset, text=text)
        if not self._runner.post(self._session, frame) and self._session.connection_id:
            gone = Disconnected(connection_id=self._session.connection_id)
            self._session = self._runner.apply(self._session.session_id, gone)

    def _look(self) -> None:
        """Nothing to tell (a long prefill): read the flags, and renew the seat when it is time."""
        session_id = self._session.session_id
        if time.monotonic() - self._renewed_at >= limits().renew_s:
            session = self._runner.apply(session_id, Renewed(epoch=self._epoch))
            self._renewed_at = time.monotonic()
        else:
            found = self._runner.store.load(session_id, self._runner.clock())
            if found is None or found.seat.epoch != self._epoch or found.live is None:
                raise SeatLost(f"turn {self._turn.turn_id} is no longer ours")
            session = found
        self._session = session
        self._heed()

    def _heed(self) -> None:
        if self._session.stop:
            self.reason = "stopped"
        elif self._session.deserted(self._runner.clock(), limits().grace_s):
            self.reason = "listener_gone"
