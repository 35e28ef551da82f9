"""Stand-ins for the table, the gateway and Lambda: in memory, on a clock that the test moves."""

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

from prologue.world import WORLDS, World, load_world
from session.events import Frame, parse_server_frame
from session.posting import Gone, NotPosted
from session.record import Session, Turn
from session.step import SeatLost
from session.store import Conflict


@cache
def emerald_city() -> World:
    return load_world(WORLDS / "emerald-city")


@dataclass
class Clock:
    now: float = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class MemoryStore:
    """Keeps the promises of `session.store.Store`; records are frozen, so they are kept as they are."""

    heads: dict[str, Session] = field(default_factory=dict)
    archived: dict[str, list[Turn]] = field(default_factory=dict)
    connections: dict[str, str] = field(default_factory=dict)
    seen: dict[str, float] = field(default_factory=dict)
    conflicts: int = 0  # so many commits fail first
    lock: threading.RLock = field(default_factory=threading.RLock)  # the delivery has its own thread

    def load(self, session_id: str, now: float) -> Session | None:
        found = self.heads.get(session_id)
        return found if found and found.expires > now else None

    def commit(self, session: Session, archive: Sequence[Turn] = ()) -> Session:
        with self.lock:
            known = self.heads.get(session.session_id)
            if self.conflicts:
                self.conflicts -= 1
                raise Conflict(session.session_id)
            if (known.rev if known else 0) != session.rev:
                raise Conflict(session.session_id)
            stored = session.model_copy(update={"rev": session.rev + 1})
            self.heads[session.session_id] = stored
            self.archived.setdefault(session.session_id, []).extend(archive)
            return stored

    def append_delta(self, session: Session, *, offset: int, text: str, seat_expires: float) -> Session:
        with self.lock:
            return self._append(session, offset, text, seat_expires)

    def _append(self, session: Session, offset: int, text: str, seat_expires: float) -> Session:
        known, mine = self.heads[session.session_id], session.live
        live = known.live
        assert mine is not None
        if (
            live is None
            or (live.turn_id, live.version, live.length) != (mine.turn_id, mine.version, offset)
            or (known.seat.epoch, known.seat.holder) != (session.seat.epoch, session.seat.holder)
        ):
            raise SeatLost(session.session_id)
        grown = live.model_copy(update={"chunks": (*live.chunks, text), "length": live.length + len(text)})
        seat = known.seat.model_copy(update={"expires": seat_expires})
        self.heads[session.session_id] = known.model_copy(
            update={"live": grown, "seat": seat, "rev": known.rev + 1}
        )
        return self.heads[session.session_id]

    def turns(self, session_id: str) -> list[Turn]:
        return sorted(self.archived.get(session_id, []), key=lambda turn: (turn.number, turn.version))

    def bind(self, connection_id: str, session_id: str, expires: int) -> None:
        self.connections[connection_id] = session_id

    def session_of(self, connection_id: str, now: float) -> str | None:
        return self.connections.get(connection_id)

    def unbind(self, connection_id: str) -> None:
        self.connections.pop(connection_id, None)

    def note_model(self, name: str, now: float) -> None:
        self.seen[name] = now

    def model_seen(self, name: str) -> float:
        return self.seen.get(name, 0.0)


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
