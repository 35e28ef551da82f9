"""The table as one host reaches it: over a network, through boto3's repetitions, at its own pace."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from session.house import House
from session.record import Session, Turn
from session.step import SeatLost
from session.store import Conflict, StoreBusy
from tests.fakes import MemoryStore
from tests.sim.chaos import Chaos
from tests.sim.clockwork import Host

if TYPE_CHECKING:
    from tests.sim.witness import Witness

T = TypeVar("T")
LIGHT_STALLS_S = (0.5, 3.0, 10.0, 25.0)
MODEL_STALLS_S = (1.0, 15.0, 100.0, 250.0)  # the longest ones outlast a seat


def switch(host: Host, chaos: Chaos) -> None:
    """Between any two steps a host may die, or stand still for longer than anybody waits."""
    host.breathe()
    if chaos.hit("model_crash" if host.is_model else "light_crash"):
        host.die()
    if chaos.hit("model_stall" if host.is_model else "light_stall"):
        host.stall(chaos.random.choice(MODEL_STALLS_S if host.is_model else LIGHT_STALLS_S))


class Table:
    """A `Store`: everything that happens in `memory`, and everything that can go wrong on the way."""

    def __init__(self, host: Host, memory: MemoryStore, chaos: Chaos, witness: "Witness") -> None:
        self._host = host
        self._memory = memory
        self._chaos = chaos
        self._witness = witness

    def _request(
        self, request: Callable[[], T], repeated: Callable[[T], T] | None = None, *, written: bool = True
    ) -> T:
        """One request. `repeated`: what its repetition is answered, if not the same once more."""
        host, chaos = self._host, self._chaos
        switch(host, chaos)
        host.sleep(0.002 + 0.01 * chaos.random.random())
        if chaos.hit("throttled") or host.monotonic() < chaos.down_until:
            host.struck = True
            host.hinder(0.0)
            raise StoreBusy("injected")
        if chaos.hit("table_slow"):
            host.dawdle(chaos.random.choice((0.3, 2.0, 8.0)))
        answer = request()
        if chaos.hit("answer_lost_for_good"):
            host.struck = True
            raise StoreBusy("injected, yet stored")
        if chaos.hit("answer_lost"):
            host.dawdle(chaos.random.choice((0.05, 0.5, 3.0)))
            answer = repeated(answer) if repeated else request()
        if written:
            host.sleep(0.002)
            switch(host, chaos)
        return answer

    # ---- the session ----

    def load(self, session_id: str, now: float) -> Session | None:
        return self._request(lambda: self._memory.load(session_id, now), written=False)

    def commit(
        self, session: Session, archive: Sequence[Turn] = (), remove: Sequence[tuple[int, int]] = ()
    ) -> Session:
        def write() -> Session:
            before = self._memory.heads.get(session.session_id)
            stored = self._memory.commit(session, archive, remove)
            self._witness.stored(self._host, before, stored, archive, remove)
            return stored

        def again(stored: Session) -> Session:
            # A transaction carries a token that makes its repetition harmless; a single put finds its own
            # write, or that of whoever came in between.
            if archive or remove or self._memory.heads.get(session.session_id) is stored:
                return stored
            raise Conflict(session.session_id)

        return self._request(write, again)

    def append_delta(self, session: Session, *, offset: int, text: str, seat_expires: float) -> Session:
        def write() -> Session:
            before = self._memory.heads.get(session.session_id)
            stored = self._memory.append_delta(session, offset=offset, text=text, seat_expires=seat_expires)
            self._witness.appended(self._host, before, stored, offset, text)
            return stored

        def again(stored: Session) -> Session:
            found = self._memory.heads.get(session.session_id)
            same = (
                found
                and found.live
                and stored.live
                and (
                    (found.seat.epoch, found.seat.holder, found.live.turn_id, found.live.version)
                    == (stored.seat.epoch, stored.seat.holder, stored.live.turn_id, stored.live.version)
                )
            )
            if found and found.live and same and found.live.text[offset:] == text:
                return found
            raise SeatLost(session.session_id)

        if self._chaos.hit("delta_late"):
            self._host.dawdle(self._chaos.random.uniform(80.0, 130.0))
        return self._request(write, again)

    def turns(self, session_id: str, now: float = 0.0) -> list[Turn]:
        return self._request(lambda: self._memory.turns(session_id, now), written=False)

    def erase(self, session: Session) -> None:
        def write() -> None:
            self._memory.erase(session)
            self._witness.wiped.add(session.session_id)

        self._request(write)

    # ---- connections ----

    def bind(
        self, connection_id: str, session_id: str, expires: int, *, instead_of: str | None, now: float = 0.0
    ) -> None:
        self._request(
            lambda: self._memory.bind(connection_id, session_id, expires, instead_of=instead_of, now=now)
        )

    def session_of(self, connection_id: str, now: float) -> str | None:
        return self._request(lambda: self._memory.session_of(connection_id, now), written=False)

    def frame(self, connection_id: str, now: float) -> tuple[str, int] | None:
        return self._request(lambda: self._memory.frame(connection_id, now))

    def unbind(self, connection_id: str) -> None:
        self._request(lambda: self._memory.unbind(connection_id))

    # ---- the house ----

    def load_house(self, model_name: str) -> House:
        return self._request(lambda: self._memory.load_house(model_name), written=False)

    def commit_house(self, house: House) -> House:
        def again(stored: House) -> House:
            if self._memory.load_house(house.model_name) == stored:
                return stored
            raise Conflict(house.model_name)

        return self._request(lambda: self._memory.commit_house(house), again)

    def count_session(self, address: str, now: float) -> int:
        return self._request(lambda: self._memory.count_session(address, now))

    def spend(self, purses: Sequence[str], seconds: float, now: float) -> None:
        def write() -> None:
            self._memory.spend(purses, seconds, now)
            self._witness.payroll.booked(self._memory.purses, self._host.monotonic())

        self._request(write)

    def spent(self, purses: Sequence[str], now: float) -> list[float]:
        return self._request(lambda: self._memory.spent(purses, now), written=False)

    def sessions_of(self, subject: str, now: float) -> list[Session]:
        return self._request(lambda: self._memory.sessions_of(subject, now), written=False)
