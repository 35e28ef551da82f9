"""Bugs in the store, whose conditions the rules rest on: see `tests.sim.mutations`."""

from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

from session.record import Session
from session.step import SeatLost
from tests.fakes import MemoryStore
from tests.sim.mutations import mutation


@mutation()
def append_ignores_the_offset() -> Iterator[None]:
    append = MemoryStore.append_delta

    def anywhere(self: MemoryStore, session: Session, *, offset: int, **arguments: Any) -> Session:
        live = self.heads[session.session_id].live
        return append(self, session, offset=live.length if live else offset, **arguments)

    with patch.object(MemoryStore, "append_delta", anywhere):
        yield


@mutation()
def commits_overwrite_each_other() -> Iterator[None]:
    commit = MemoryStore.commit

    def careless(self: MemoryStore, session: Session, *arguments: Any) -> Session:
        known = self.heads.get(session.session_id)
        rev = known.rev if known else 0
        return commit(self, session.model_copy(update={"rev": rev}), *arguments)

    with patch.object(MemoryStore, "commit", careless):
        yield


@mutation()
def erasing_leaves_the_turns() -> Iterator[None]:
    def head_only(self: MemoryStore, session: Session) -> None:
        self.heads.pop(session.session_id, None)

    with patch.object(MemoryStore, "erase", head_only):
        yield


@mutation("farewells")
def late_write_brings_a_deleted_session_back() -> Iterator[None]:
    commit = MemoryStore.commit

    def creative(self: MemoryStore, session: Session, *arguments: Any) -> Session:
        there = session.session_id in self.heads
        return commit(self, session if there else session.model_copy(update={"rev": 0}), *arguments)

    with patch.object(MemoryStore, "commit", creative):
        yield


@mutation("zombies")
def append_asks_only_for_the_offset() -> Iterator[None]:
    append = MemoryStore._append

    def anybody(self: MemoryStore, session: Session, offset: int, *arguments: Any) -> Session:
        known = self.heads.get(session.session_id)
        if known is None or known.live is None or known.live.length != offset:
            raise SeatLost(session.session_id)
        return append(self, known, offset, *arguments)

    with patch.object(MemoryStore, "_append", anybody):
        yield


@mutation()
def everybodys_stories_are_listed() -> Iterator[None]:
    def all_of_them(self: MemoryStore, subject: str, now: float) -> list[Session]:
        return [session for session in self.heads.values() if not session.deleted]

    with patch.object(MemoryStore, "sessions_of", all_of_them):
        yield
