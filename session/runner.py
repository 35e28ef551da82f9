"""Drives the session core: load, receive, store, then act. Every host uses this and holds no rules.

The runner itself does no I/O but through the store, the poster and the invoker that it is given.
"""

import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from prologue import dialogue
from session import state, telemetry
from session.actions import Action, Erase, Invoke, Post, PostSnapshot, PostTo
from session.capacity import BUSY, Capacity
from session.caps import Caps, Ledger
from session.errors import Refusal
from session.events import Frame, SessionReady, SessionSnapshot, WorldView
from session.inputs import Disconnected, HouseFull, Input, InvokeFailed, Rested
from session.measures import measures
from session.posting import Gone, NotPosted, Poster
from session.record import Session
from session.snapshots import snapshots
from session.step import Outcome, SeatLost
from session.store import Conflict, Store

if TYPE_CHECKING:
    from prologue.world import World

log = logging.getLogger(__name__)
_TRIES = 20

Invoker = Callable[[Session, int], None]  # (session, epoch); raises InvokeRefused


class InvokeRefused(Exception):
    """Lambda did not take the event. `again`: it may well do so a little later."""

    def __init__(self, message: str, again: bool = False) -> None:
        super().__init__(message)
        self.again = again


class UnknownSession(Exception):
    """There is no such session (any more)."""


LOST = (SeatLost, UnknownSession, Refusal)  # what a holder meets when its session has gone on without it


class Runner:
    """Args:
    worlds: the world of that name, in that language.
    clock: epoch seconds.
    models: that a listener may choose from; the first is the default.
    offer: the worlds that a listener may choose from; the first is the default.
    environments: how many of a model's environments may work at a time.
    caps: of model seconds in a day; none by themselves.
    invoke: asks Lambda for an asynchronous invocation; hosts that never invoke leave it out.
    """

    def __init__(
        self,
        *,
        store: Store,
        poster: Poster,
        worlds: Callable[[str, str], "World"],
        clock: Callable[[], float],
        models: tuple[str, ...] = (),
        offer: tuple[WorldView, ...] = (),
        environments: int = 1,
        caps: Caps | None = None,
        invoke: Invoker | None = None,
    ) -> None:
        self.store = store
        self.poster = poster
        self.clock = clock
        self.worlds = worlds
        self.models = models
        self.offer = offer
        self.capacity = Capacity(store, clock, environments)
        self.ledger = Ledger(store, clock, caps or Caps())
        self._invoke = invoke

    def world(self, session: Session) -> "World":
        return self.worlds(session.world, session.language)

    def start(self, session: Session, resume_key: str, bind: Callable[[], None] = lambda: None) -> Session:
        """Stores and greets a new session. `bind` gives it its connection, once it is there and before
        anything is posted; what it raises is passed on."""
        telemetry.about(session_id=session.session_id)
        outcome = state.start(session, resume_key, self.clock(), self.world(session))
        assert outcome.session is not None
        stored = self.store.commit(outcome.session)
        bind()
        self._act(stored, outcome.actions)
        return stored

    def apply(self, session_id: str, event: Input) -> Session:
        """One input, all the way. Returns the record as stored.

        Raises:
            UnknownSession, Refusal, SeatLost: nothing was stored or posted.
        """
        return self.apply_made(session_id, lambda _: event)

    def apply_made(self, session_id: str, make: Callable[[Session], Input]) -> Session:
        """As `apply`, with an input that is made from the record; what it looks up fits that record."""
        telemetry.about(session_id=session_id)
        for _ in range(_TRIES):
            session, now = self.load(session_id), self.clock()
            event = make(session)
            outcome = state.receive(session, event, now, self.world(session))
            try:
                stored = self._store(session, outcome)
            except Conflict:
                continue
            for measured in measures(session, event, outcome, now):
                telemetry.emit(measured.values, **measured.told)
            self._act(stored, outcome.actions)
            return stored
        raise Conflict(f"session {session_id} was written by others {_TRIES} times in a row")

    def load(self, session_id: str) -> Session:
        """The record as it is now. Raises UnknownSession."""
        session = self.store.load(session_id, self.clock())
        if session is None:
            raise UnknownSession(session_id)
        return session

    def _store(self, session: Session, outcome: Outcome) -> Session:
        if outcome.session is None:
            return session
        return self.store.commit(outcome.session, outcome.archive, outcome.remove)

    def _act(self, session: Session, actions: Iterable[Action]) -> None:
        gone = False
        for action in actions:
            match action:
                case Post(frame):
                    gone = gone or not self.post(session, frame)
                case PostSnapshot():
                    gone = gone or not all(self.post(session, frame) for frame in self.snapshot(session))
                case PostTo(connection_id, frame):
                    self.post_quietly(connection_id, frame)
                case Invoke(epoch):
                    self._ask(session, epoch)
                case Erase():
                    self.store.erase(session)
        if gone and session.connection_id:
            self._tell(session, Disconnected(connection_id=session.connection_id))

    def post(self, session: Session, frame: Frame) -> bool:
        """Posts to the session's connection; False if it is gone."""
        if session.connection_id is None:
            return True
        try:
            self.poster.post(session.connection_id, self._complete(frame))
        except Gone:
            return False
        except NotPosted as error:  # it is stored: the next hello or ping tells it again
            log.warning("a frame for %s was not posted: %s", session.connection_id, error)
        return True

    def _complete(self, frame: Frame) -> Frame:
        """The greeting also tells what can be chosen here."""
        if isinstance(frame, SessionReady):
            return frame.model_copy(update={"models": list(self.models), "worlds": list(self.offer)})
        return frame

    def post_quietly(self, connection_id: str, frame: Frame) -> None:
        """Posts where nothing depends on it."""
        try:
            self.poster.post(connection_id, frame)
        except (Gone, NotPosted) as error:
            log.info("a frame for %s was not posted: %s", connection_id, error)

    def _ask(self, session: Session, epoch: int) -> None:
        if self._invoke is None:
            raise RuntimeError("this host has no invoker: only the light function wakes the model")
        answer: Input
        try:
            rest = self.ledger.rest(session)
            if rest is not None:
                self._tell(session, Rested(epoch=epoch, until=rest.until, own=rest.own))
                if session.queued_at:
                    self.capacity.give_up(session.model_name, session.session_id)
                return
            place = self.capacity.ask(session.model_name, session.session_id, epoch)
            if place is None:
                self._invoke(session, epoch)
                return
            answer = HouseFull(epoch=epoch, place=place.place, eta_s=place.eta_s)
        except BUSY as busy:
            answer = InvokeFailed(epoch=epoch, message=str(busy), again=True)
        except InvokeRefused as refused:
            log.warning("invoke refused for %s: %s", session.session_id, refused.__cause__ or refused)
            self.capacity.leave(session.model_name, session.session_id, epoch)
            answer = InvokeFailed(epoch=epoch, message=str(refused), again=refused.again)
        self._tell(session, answer)

    def _tell(self, session: Session, event: Input) -> None:
        """An input that follows from what was done; a session that is gone by now needs it no more."""
        try:
            self.apply(session.session_id, event)
        except (UnknownSession, Refusal):
            log.info("session %s was deleted meanwhile", session.session_id)

    def snapshot(self, session: Session) -> list[SessionSnapshot]:
        """The whole story so far in frames of at most 32 KB, read after the connection was written."""
        session = self.load(session.session_id)
        told = dialogue.entries(session.dialogue, self.world(session))
        return snapshots(session, self.store.turns(session.session_id, self.clock()), told)
