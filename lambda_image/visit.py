"""One seat, from its claim to its release: wake, tell the session's turns, leave."""

import logging
from collections.abc import Callable
from typing import Literal

from lambda_image.holding import Holding
from lambda_image.linger import linger
from lambda_image.telling import Bill, tell
from lambda_image.waking import LoadError, SleepingModel
from session import telemetry
from session.inputs import LoadFailed, Loading, Ready, Released
from session.limits import limits
from session.record import Phase, Session
from session.runner import LOST

log = logging.getLogger(__name__)
Left = Literal["released", "deadline", "load_failed", "seat_lost"]
NOT_LOADED = "The model could not be loaded; the house's log says why."  # no listener can mend what it is


class Visit:
    """Args:
    fresh: the invocation has done nothing else before, so that no other one would have more time.
    """

    def __init__(
        self,
        holding: Holding,
        model: SleepingModel,
        *,
        seeds: Callable[[], int],
        memory_mb: int,
        fresh: bool,
    ) -> None:
        self._holding = holding
        self._model = model
        self._seeds = seeds
        self._memory_mb = memory_mb
        self._fresh = fresh
        self._cold_start_s: float | None = None  # not yet charged to a reply
        self._lingered_s = 0.0
        self.told = 0

    @telemetry.traced("visit")
    def play(self, session: Session) -> Left:
        """Serves the session until it has no more work; what gets lost is the light side's to find."""
        try:
            self._holding.slot.keep()
            woken = self._wake(session)
            return woken if isinstance(woken, str) else self._story(woken)
        except LOST as lost:
            log.info("session %s: %s", self._holding.session_id, lost)
            return "seat_lost"

    def _wake(self, session: Session) -> Session | Literal["released", "load_failed"]:
        """The session with its model ready; or why not: nobody is there any more, or it can't be loaded."""
        cold = self._model.narrator is None
        epoch = self._holding.epoch
        try:
            for loaded, total, eta in self._model.wake(limits().progress_s):
                self._fresh = False
                event = Loading(epoch=epoch, loaded_bytes=loaded, total_bytes=total, eta_s=eta)
                session = self._holding.apply(event)
                self._holding.slot.keep()
                if self._holding.deserted(session) and self._leaves(session):
                    return "released"
        except LoadError as error:
            log.exception("the model could not be loaded: %s", error)
            self._holding.apply(LoadFailed(epoch=epoch, message=NOT_LOADED))
            return "load_failed"
        if cold:
            self._cold_start_s = self._model.cold_start_s
            if self._model.measured:
                self._holding.slot.note_start(self._model.cold_start_s)
                telemetry.emit(self._model.stages())
        return self._ready()

    def _story(self, session: Session) -> Left:
        lingered = False
        while session.seat.holder == self._holding.holder:
            self._holding.slot.keep()
            away = self._holding.deserted(session)
            if session.live is not None and not away:
                if self._fresh or has_room(self._holding.left_s(), self._model.tokens_per_s):
                    session, lingered = self._tell(), False
                elif self._leaves(session):
                    return "deadline"
                else:
                    session = self._holding.look()
            elif session.phase is Phase.AWAITING and not away:
                session = self._ready()
            elif self.told and not lingered and limits().linger_s:
                session, self._lingered_s = linger(self._holding, session, memory_mb=self._memory_mb)
                lingered = True
            elif self._leaves(session):  # what waits for a listener who is away is begun when they come back
                return "released"
            else:
                session = self._holding.look()
        return "released"

    def _tell(self) -> Session:
        assert self._model.narrator is not None
        bill = Bill(self._memory_mb, self._cold_start_s, self._lingered_s)
        told = tell(self._holding, self._model.narrator, bill)
        self.told += 1
        self._fresh, self._cold_start_s, self._lingered_s = False, None, 0.0
        self._model.tokens_per_s = told.tokens_per_s or self._model.tokens_per_s
        return told.session

    def _ready(self) -> Session:
        return self._holding.apply(Ready(epoch=self._holding.epoch, seed=self._seeds()))

    def _leaves(self, session: Session) -> bool:
        """Releases the seat, unless work came since."""
        leaving = Released(epoch=self._holding.epoch, work_seq=session.work_seq)
        return self._holding.apply(leaving).seat.holder != self._holding.holder


def has_room(left_s: float, tokens_per_s: float | None) -> bool:
    """Whether the time that is left is enough for the longest reply, at the speed that was measured."""
    if tokens_per_s is None:
        return left_s > limits().turn_room_s
    return left_s > limits().max_tokens / tokens_per_s + limits().deadline_s
