"""How often one address may ask for tickets, and how often it may be wrong."""

from collections.abc import Callable

from prologue.tickets.refusals import Refused
from prologue.tickets.settings import limits
from session.store import Admissions

_MINUTE_S = 60


class Throttle:
    """Counts in the table, so that all environments count together. Addresses are hashes."""

    def __init__(self, store: Admissions, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock

    def admit(self, address: str) -> None:
        """Counts a request. Raises Refused: there were too many, or too many of them failed."""
        now = self._clock()
        asked = self._store.count(f"asked#{address}", _MINUTE_S, now)
        if asked > limits().requests_per_minute:
            raise _too_many(_MINUTE_S, now)
        window_s = limits().failure_window_s
        if self._store.count(f"failed#{address}", window_s, now, by=0) >= limits().failures:
            raise _too_many(window_s, now)

    def failed(self, address: str) -> None:
        self._store.count(f"failed#{address}", limits().failure_window_s, self._clock())


def _too_many(window_s: int, now: float) -> Refused:
    """Until the window ends."""
    return Refused("too_many", retry_after_s=int(window_s - now % window_s) + 1)
