"""Drives the session core: load, receive, store, then act. Every host uses this and holds no rules.

The runner itself does no I/O but through the store, the poster and the invoker that it is given.
"""

import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from prologue import dialogue
from session import state
from session.actions import Action, Invoke, Post, PostSnapshot, PostTo
from session.events import MAX_FRAME_BYTES, Frame, PrologueEntry, SessionSnapshot, TurnSnapshot
from session.inputs import Disconnected, Input, InvokeFailed
from session.posting import Gone, NotPosted, Poster
from session.record import Session
from session.step import Outcome
from session.store import Conflict, Store

if TYPE_CHECKING:
    from prologue.world import World

log = logging.getLogger(__name__)
_TRIES = 20
_SNAPSHOT_BYTES = MAX_FRAME_BYTES - 2048  # room for the frame around the parts

Invoker = Callable[[Session, int], None]  # (session, epoch); raises InvokeRefused


class InvokeRefused(Exception):
    """Lambda did not take the event."""


class UnknownSession(Exception):
    """There is no such session (any more)."""


class Runner:
    """Args:
    invoke: asks Lambda for an asynchronous invocation; hosts that never invoke leave it out.
    clock: epoch seconds.
    """

    def __init__(
        self,
        *,
        store: Store,
        poster: Poster,
        worlds: Callable[[str], "World"],
        clock: Callable[[], float],
        invoke: Invoker | None = None,
    ) -> None:
        self.store = store
        self.poster = poster
        self.clock = clock
        self.world = worlds
        self._invoke = invoke

    def start(self, session: Session, resume_key: str) -> Session:
        """Stores and greets a new session."""
        outcome = state.start(session, resume_key, self.clock(), self.world(session.world))
        assert outcome.session is not None
        stored = self.store.commit(outcome.session)
        self._act(stored, outcome.actions)
        return stored

    def apply(self, session_id: str, event: Input) -> Session:
        """One input, all the way. Returns the record as stored.

        Raises:
            UnknownSession, Refusal, SeatLost: nothing was stored or posted.
        """
        for _ in range(_TRIES):
            session = self.store.load(session_id, self.clock())
            if session is None:
                raise UnknownSession(session_id)
            outcome = state.receive(session, event, self.clock(), self.world(session.world))
            try:
                stored = self._store(session, outcome)
            except Conflict:
                continue
            self._act(stored, outcome.actions)
            return stored
        raise Conflict(f"session {session_id} was written by others {_TRIES} times in a row")

    def _store(self, session: Session, outcome: Outcome) -> Session:
        if outcome.session is None:
            return session
        return self.store.commit(outcome.session, outcome.archive)

    def _act(self, session: Session, actions: Iterable[Action]) -> None:
        gone = False
        for action in actions:
            match action:
                case Post(frame):
                    gone = gone or not self.post(session, frame)
                case PostSnapshot():
                    frames = self.snapshot(session.session_id)
                    gone = gone or not all(self.post(session, frame) for frame in frames)
                case PostTo(connection_id, frame):
                    self.post_quietly(connection_id, frame)
                case Invoke(epoch):
                    self._ask(session, epoch)
        if gone and session.connection_id:
            self.apply(session.session_id, Disconnected(connection_id=session.connection_id))

    def post(self, session: Session, frame: Frame) -> bool:
        """Posts to the session's connection; False if it is gone."""
        if session.connection_id is None:
            return True
        try:
            self.poster.post(session.connection_id, frame)
        except Gone:
            return False
        except NotPosted as error:  # it is stored: the next hello or ping tells it again
            log.warning("a frame for %s was not posted: %s", session.connection_id, error)
        return True

    def post_quietly(self, connection_id: str, frame: Frame) -> None:
        """Posts where nothing depends on it."""
        try:
            self.poster.post(connection_id, frame)
        except (Gone, NotPosted) as error:
            log.info("a frame for %s was not posted: %s", connection_id, error)

    def _ask(self, session: Session, epoch: int) -> None:
        if self._invoke is None:
            raise RuntimeError("this host has no invoker: only the light function wakes the model")
        try:
            self._invoke(session, epoch)
        except InvokeRefused as refused:
            log.warning("invoke refused for %s: %s", session.session_id, refused)
            self.apply(session.session_id, InvokeFailed(epoch=epoch, message=str(refused)))

    def snapshot(self, session_id: str) -> list[SessionSnapshot]:
        """The whole story so far in frames of at most 32 KB, read after the connection was written."""
        session = self.store.load(session_id, self.clock())
        if session is None:
            raise UnknownSession(session_id)
        turns = [turn.snapshot() for turn in self.store.turns(session_id)]
        live = session.live
        if live is not None and all(turn.turn_id != live.turn_id for turn in turns):  # it may just have ended
            turns.append(live.snapshot())
        told = dialogue.entries(session.dialogue, self.world(session.world))
        return _parts(told, turns, session.dialogue)


def _parts(
    told: list[PrologueEntry], turns: list[TurnSnapshot], state: dialogue.DialogueState
) -> list[SessionSnapshot]:
    groups: list[list[PrologueEntry | TurnSnapshot]] = [[]]
    answered = state.facts()
    size = len(str(answered).encode())
    for piece in (*told, *turns):
        weight = len(piece.wire()) + 1
        if size + weight > _SNAPSHOT_BYTES:
            groups.append([])
            size = 0
        size += weight
        groups[-1].append(piece)
    return [
        SessionSnapshot(
            turns=[piece for piece in group if isinstance(piece, TurnSnapshot)],
            prologue=[piece for piece in group if not isinstance(piece, TurnSnapshot)],
            answered=answered if number == 1 else {},
            paused=state.paused,
            part=number,
            parts=len(groups),
        )
        for number, group in enumerate(groups, 1)
    ]
