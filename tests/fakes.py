"""Stand-ins for the table, the gateway and Lambda: in memory, on a clock that the test moves."""

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

from prologue.compiled import load_world
from prologue.schema import WORLDS, World
from session.events import Frame, parse_server_frame
from session.house import House
from session.posting import Gone, NotPosted
from session.record import Session, Turn
from session.step import SeatLost
from session.store import Conflict


@cache
def emerald_city() -> World:
    return load_world(WORLDS / "emerald-city", "en")


@dataclass
class Clock:
    now: float = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Binding:
    session_id: str
    expires: int
    second: int = 0
    frames: int = 0  # in that second


@dataclass
class MemoryStore:
    """Keeps what `session.store.Store` and `Admissions` promise; records are frozen, so kept as they are."""

    heads: dict[str, Session] = field(default_factory=dict)
    archived: dict[str, list[Turn]] = field(default_factory=dict)
    connections: dict[str, Binding] = field(default_factory=dict)
    houses: dict[str, House] = field(default_factory=dict)
    addresses: dict[tuple[str, int], int] = field(default_factory=dict)  # by address and day
    tickets: dict[str, int] = field(default_factory=dict)  # when the mark of a used one expires
    counts: dict[tuple[str, int, int], int] = field(default_factory=dict)  # by what, window and its number
    purses: dict[tuple[str, int], float] = field(default_factory=dict)  # seconds, by purse and day
    conflicts: int = 0  # so many commits fail first
    lock: threading.RLock = field(default_factory=threading.RLock)  # the delivery has its own thread

    def load(self, session_id: str, now: float) -> Session | None:
        found = self.heads.get(session_id)
        return found if found and found.expires > now else None

    def commit(
        self, session: Session, archive: Sequence[Turn] = (), remove: Sequence[tuple[int, int]] = ()
    ) -> Session:
        session_id = session.session_id
        with self.lock:
            known = self.heads.get(session_id)
            if self.conflicts:
                self.conflicts -= 1
                raise Conflict(session_id)
            if (known.rev if known else 0) != session.rev:
                raise Conflict(session_id)
            stored = session.model_copy(update={"rev": session.rev + 1})
            self.heads[session_id] = stored
            if archive or remove:
                gone = {*remove, *((turn.number, turn.version) for turn in archive)}
                kept = [t for t in self.archived.get(session_id, ()) if (t.number, t.version) not in gone]
                self.archived[session_id] = [*kept, *archive]
            return stored

    def append_delta(self, session: Session, *, offset: int, text: str, seat_expires: float) -> Session:
        with self.lock:
            return self._append(session, offset, text, seat_expires)

    def _append(self, session: Session, offset: int, text: str, seat_expires: float) -> Session:
        known, mine = self.heads.get(session.session_id), session.live
        assert mine is not None
        if (
            known is None
            or (live := known.live) is None
            or (live.turn_id, live.version) != (mine.turn_id, mine.version)
            or (known.seat.epoch, known.seat.holder) != (session.seat.epoch, session.seat.holder)
        ):
            raise SeatLost(session.session_id)
        if live.length != offset:
            if live.length == offset + len(text) and live.text[offset:] == text:
                return known  # our own write, repeated
            raise SeatLost(session.session_id)
        grown = live.model_copy(update={"chunks": (*live.chunks, text), "length": live.length + len(text)})
        seat = known.seat.model_copy(update={"expires": seat_expires})
        stored = known.model_copy(update={"live": grown, "seat": seat, "rev": known.rev + 1})
        self.heads[session.session_id] = stored
        return stored

    def turns(self, session_id: str, now: float = 0.0) -> list[Turn]:
        with self.lock:
            head = self.heads.get(session_id)
            if head is not None and head.expires <= now:  # turns expire with their session
                return []
            return sorted(self.archived.get(session_id, ()), key=lambda turn: (turn.number, turn.version))

    def erase(self, session: Session) -> None:
        with self.lock:
            self.archived.pop(session.session_id, None)
            self.heads.pop(session.session_id, None)

    def sessions_of(self, subject: str, now: float) -> list[Session]:
        with self.lock:
            living = [s for s in self.heads.values() if s.subject == subject and s.expires > now]
        return sorted(
            (session for session in living if not session.deleted),
            key=lambda session: (session.created, session.session_id),
            reverse=True,
        )

    def bind(
        self, connection_id: str, session_id: str, expires: int, *, instead_of: str | None, now: float = 0.0
    ) -> None:
        with self.lock:
            known = self.connections.setdefault(connection_id, Binding(session_id, expires))
            if known.session_id not in (session_id, instead_of) and known.expires > now:
                raise Conflict(connection_id)
            known.session_id, known.expires = session_id, expires

    def session_of(self, connection_id: str, now: float) -> str | None:
        known = self.connections.get(connection_id)
        return known.session_id if known and known.expires > now else None

    def frame(self, connection_id: str, now: float) -> tuple[str, int] | None:
        with self.lock:
            known = self.connections.get(connection_id)
            if known is None or known.expires <= now:
                return None
            known.frames = known.frames + 1 if known.second == int(now) else 1
            known.second = int(now)
            return known.session_id, known.frames

    def unbind(self, connection_id: str) -> None:
        self.connections.pop(connection_id, None)

    def load_house(self, model_name: str) -> House:
        return self.houses.get(model_name) or House(model_name=model_name)

    def commit_house(self, house: House) -> House:
        with self.lock:
            if self.load_house(house.model_name).rev != house.rev:
                raise Conflict(house.model_name)
            stored = house.model_copy(update={"rev": house.rev + 1})
            self.houses[house.model_name] = stored
            return stored

    def count_session(self, address: str, now: float) -> int:
        with self.lock:
            today = (address, int(now // 86_400))
            self.addresses[today] = self.addresses.get(today, 0) + 1
            return self.addresses[today]

    def use_ticket(self, ticket_id: str, expires: int, now: float) -> bool:
        with self.lock:
            if self.tickets.get(ticket_id, 0) > now:
                return False
            self.tickets[ticket_id] = expires
            return True

    def count(self, what: str, window_s: int, now: float, *, by: int = 1) -> int:
        with self.lock:
            window = (what, window_s, int(now // window_s))
            self.counts[window] = self.counts.get(window, 0) + by
            return self.counts[window]

    def spend(self, purses: Sequence[str], seconds: float, now: float) -> None:
        with self.lock:
            for purse in purses:
                today = (purse, int(now // 86_400))
                self.purses[today] = self.purses.get(today, 0.0) + round(seconds, 3)

    def spent(self, purses: Sequence[str], now: float) -> list[float]:
        with self.lock:
            return [self.purses.get((purse, int(now // 86_400)), 0.0) for purse in purses]


@dataclass
class RecordingPoster:
    """Remembers every frame as a client would read it."""

    posted: list[tuple[str, Frame]] = field(default_factory=list)
    gone: set[str] = field(default_factory=set)
    refusing: bool = False  # the gateway answers 429 or nothing at all

    def post(self, connection_id: str, frame: Frame) -> None:
        if connection_id in self.gone:
            raise Gone(connection_id)
        if self.refusing:
            raise NotPosted("429")
        json.loads(frame.wire())
        parse_server_frame(frame.wire())
        self.posted.append((connection_id, frame))

    def take(self, connection_id: str | None = None) -> list[Frame]:
        """The frames posted since the last call."""
        frames = [frame for to, frame in self.posted if connection_id in (None, to)]
        self.posted.clear()
        return frames
