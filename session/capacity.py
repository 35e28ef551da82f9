"""The house's operations as hosts use them: one small write each, again where others wrote in between."""

from collections.abc import Callable
from contextlib import suppress
from typing import Literal, TypeVar

from session import house
from session.house import House, Place
from session.limits import limits
from session.store import Conflict, Store, StoreBusy

_T = TypeVar("_T")
BUSY = (Conflict, StoreBusy)  # the house can't be written just now
_TRIES = 30  # everybody who plays with a model writes the same record


class Capacity:
    """Args:
    clock: epoch seconds.
    environments: how many of a model's environments may work at a time.
    """

    def __init__(self, store: Store, clock: Callable[[], float], environments: int) -> None:
        self._store = store
        self._clock = clock
        self._environments = environments

    def ask(self, model_name: str, session_id: str, epoch: int) -> Place | None:
        """A slot for this epoch's invocation (None), or a place in the queue. Raises one of BUSY."""

        def asked(found: House, now: float) -> tuple[House, Place | None]:
            return house.ask(found, session_id, epoch, now, self._environments)

        return self._change(model_name, asked)

    def hold(self, model_name: str, session_id: str, epoch: int) -> None:
        """Renews the lease of a holder that is at work. Raises one of BUSY."""
        self._change(model_name, lambda found, now: (house.hold(found, session_id, epoch, now), None))

    def leave(self, model_name: str, session_id: str, epoch: int) -> None:
        """Gives the slot back, if it is still this epoch's. Should that fail, its lease runs out."""
        with suppress(*BUSY):
            self._change(model_name, lambda found, now: (house.leave(found, session_id, epoch, now), None))

    def give_up(self, model_name: str, session_id: str) -> None:
        """Leaves the queue. Should that fail, nobody is heard there any more."""
        with suppress(*BUSY):
            self._change(model_name, lambda found, now: (house.give_up(found, session_id), None))

    def hand_over(self, model_name: str, session_id: str, epoch: int, *, to_next: bool) -> str | None:
        """Gives the slot back, and with `to_next` on to whoever waits: that session's id, if there is one.

        In one write, so that nobody comes in between. A slot that is not this epoch's any more is not this
        environment's to hand on. Raises one of BUSY.
        """

        def handed(found: House, now: float) -> tuple[House, str | None]:
            left = house.leave(house.note_awake(found, now), session_id, epoch, now)
            if not to_next or len(left.slots) == len(found.slots):
                return left, None
            return house.call_next(left, now, self._environments)

        return self._change(model_name, handed)

    def note_start(self, model_name: str, seconds: float) -> None:
        """A real cold start took so long. Raises one of BUSY."""
        self._change(model_name, lambda found, now: (house.note_start(found, seconds, now), None))

    def outlook(self, model_name: str) -> tuple[Literal["cold", "resting"], float | None]:
        """How the model is likely to be found, and the seconds that its starts usually take, if known."""
        found = self._store.load_house(model_name)
        warm = self._clock() - found.seen < limits().resting_s
        return "resting" if warm else "cold", house.typical_start_s(found)

    def _change(self, model_name: str, change: Callable[[House, float], tuple[House, _T]]) -> _T:
        for _ in range(_TRIES):
            found = self._store.load_house(model_name)
            changed, result = change(found, self._clock())
            if changed is found:
                return result
            try:
                self._store.commit_house(changed)
            except Conflict:
                continue
            return result
        raise Conflict(f"the house of {model_name} was written by others {_TRIES} times in a row")
