"""Model seconds of a day, and who answers for them: a start costs money without a single token.

Checked before a model is invoked, and booked by whoever works: what runs is never cut short, so a day may go
over its cap by what the environments were busy with, and by what a crash left unbooked (a minute at most).
"""

from collections.abc import Callable
from typing import Self

from pydantic import BaseModel, ConfigDict, NonNegativeFloat

from session.limits import limits
from session.record import Session
from session.store import Store

DAY_S = 86_400
STACK = "stack"


class Caps(BaseModel):
    """Model seconds in one day (UTC); 0 is no cap. Raises pydantic's ValidationError."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    stack: NonNegativeFloat = 0.0
    ticket: NonNegativeFloat = 0.0
    address: NonNegativeFloat = 0.0

    @classmethod
    def standard(cls) -> Self:
        """Those of `session/limits.toml`."""
        return cls(
            stack=limits().model_seconds_day_stack,
            ticket=limits().model_seconds_day_ticket,
            address=limits().model_seconds_day_address,
        )

    def purses(self, session: Session) -> dict[str, float]:
        """What a session's model seconds are booked on, each with its cap: only those that have one."""
        known = {
            STACK: self.stack,
            f"ticket:{session.ticket}" if session.ticket else "": self.ticket,
            session.payer: self.address,
        }
        return {purse: cap for purse, cap in known.items() if purse and cap}


class Rest(BaseModel):
    """Why nobody may be woken. `until`: epoch seconds. `own`: the listener's cap, not the house's."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    until: float
    own: bool


class Ledger:
    """The caps, kept in the store. Every method may raise StoreBusy.

    Args:
        clock: epoch seconds.
    """

    def __init__(self, store: Store, clock: Callable[[], float], caps: Caps) -> None:
        self._store = store
        self._clock = clock
        self._caps = caps

    def book(self, session: Session, seconds: float) -> None:
        """Counts model seconds against all who answer for the session. Should the answer be lost, and the
        request be repeated, they count twice: on the side of thrift."""
        purses = self._caps.purses(session)
        if purses:
            self._store.spend(tuple(purses), seconds, self._clock())

    def rest(self, session: Session) -> Rest | None:
        """Whether the day's seconds are spent for this session."""
        purses = self._caps.purses(session)
        if not purses:
            return None
        now = self._clock()
        spent = self._store.spent(tuple(purses), now)
        over = [purse for (purse, cap), seconds in zip(purses.items(), spent, strict=True) if seconds >= cap]
        if not over:
            return None
        return Rest(until=(now // DAY_S + 1) * DAY_S, own=STACK not in over)
