"""The light function's work, free of Lambda: frames of a connection in, inputs of its session out."""

import logging
import secrets
from collections.abc import Callable

from prologue.greeting import Greeting, MatcherOf, Visitor
from prologue.requests import Requests
from session import telemetry
from session.errors import Refusal
from session.events import (
    MAX_FRAME_BYTES,
    Pong,
    SessionDeleted,
    SessionList,
    SessionSuperseded,
    SessionView,
)
from session.inputs import Disconnected, InvokeFailed
from session.limits import limits
from session.record import Session
from session.requests import (
    ClientMessage,
    Delete,
    Hello,
    ListSessions,
    Ping,
    Stop,
    SwitchWorld,
    error_frame,
    parse_client_frame,
)
from session.runner import Runner, UnknownSession

log = logging.getLogger(__name__)


class PrologueService:
    """Args:
    runner: with the models and worlds on offer.
    matcher: the FAQ of a world (slow at its first call), or None if there is none.
    tokens, seeds: randomness, as `Greeting` and `Requests` take it.
    memory_mb, model_memory_mb: of this function and of a model's.
    """

    def __init__(
        self,
        runner: Runner,
        *,
        matcher: MatcherOf,
        tokens: Callable[[int], str] = secrets.token_hex,
        seeds: Callable[[], int] = lambda: secrets.randbelow(2**31),
        memory_mb: int = 1024,
        model_memory_mb: int = 10_240,
    ) -> None:
        self._runner = runner
        self._store = runner.store
        self._greeting = Greeting(runner, matcher=matcher, tokens=tokens)
        self._requests = Requests(
            runner, matcher=matcher, seeds=seeds, memory_mb=memory_mb, model_memory_mb=model_memory_mb
        )

    def message(
        self,
        connection_id: str,
        body: str,
        *,
        address: str = "",
        subject: str | None = None,
        ticket: str = "",
    ) -> None:
        """Answers one frame. Whatever is wrong with it, the listener is told and the session goes on.

        `ticket`: of the connection; see `Visitor` for all three."""
        request_id = None
        try:
            frame = parse_client_frame(body)
            request_id = frame.request_id
            telemetry.about(turn_id=getattr(frame, "turn_id", None))
            self._handle(Visitor(connection_id, address, subject, ticket), frame)
        except Refusal as refusal:
            self._runner.post_quietly(connection_id, error_frame(refusal, request_id))
        except UnknownSession:
            self._runner.post_quietly(connection_id, error_frame(Refusal("unknown_session"), request_id))
        except Exception:  # the last resort of a boundary: the listener must hear of it
            log.exception("frame of connection %s failed", connection_id)
            telemetry.emit({"Failures": 1}, reason="internal")
            self._runner.post_quietly(connection_id, error_frame(Refusal("internal"), request_id))

    def disconnected(self, connection_id: str) -> None:
        session_id = self._store.session_of(connection_id, self._runner.clock())
        if session_id is not None:
            try:
                self._runner.apply(session_id, Disconnected(connection_id=connection_id))
            except UnknownSession:
                log.info("connection %s outlived its session", connection_id)
        self._store.unbind(connection_id)

    def invoke_failed(self, session_id: str, epoch: int, message: str, again: bool = False) -> None:
        """The model function's event was dropped, or its invocation failed: its slot is free. `again`: it
        may well succeed a little later. Raises UnknownSession."""
        session = self._runner.load(session_id)
        self._runner.capacity.leave(session.model_name, session_id, epoch)
        self._runner.apply(session_id, InvokeFailed(epoch=epoch, message=message, again=again))

    def _handle(self, visitor: Visitor, frame: ClientMessage) -> None:
        bound = self._counted(visitor.connection_id, frame)
        if isinstance(frame, Hello):
            self._greeting.hello(visitor, frame, bound)
        elif isinstance(frame, ListSessions):
            self._list(visitor)
        elif bound and (session := self._store.load(bound, self._runner.clock())):
            self._in_session(visitor, frame, session)
        elif bound and isinstance(frame, Delete):  # it was erased, and the answer was lost
            self._runner.post_quietly(visitor.connection_id, SessionDeleted(session_id=bound))
        elif isinstance(frame, Ping):
            self._runner.post_quietly(visitor.connection_id, Pong())
        else:
            raise Refusal("no_session")

    def _counted(self, connection_id: str, frame: ClientMessage) -> str | None:
        """The session that the connection speaks for. Raises Refusal: frames come too fast."""
        counted = self._store.frame(connection_id, self._runner.clock())
        if counted is None:
            return None
        session_id, frames = counted
        if frames > limits().frames_per_s and not isinstance(frame, Stop | Ping):
            raise Refusal("too_many_frames")
        return session_id

    def _in_session(self, visitor: Visitor, frame: ClientMessage, session: Session) -> None:
        assert not isinstance(frame, Hello | ListSessions)
        session_id = session.session_id
        if session.deleted and not isinstance(frame, Delete):
            self._store.erase(session)  # in case its erasure was cut short
            raise UnknownSession(session_id)
        if session.connection_id is None and not session.deleted:  # it was given up for lost, and is not
            if self._store.session_of(visitor.connection_id, self._runner.clock()) != session_id:
                return  # the listener went over to another world while this frame was on its way
            session = self._runner.apply(session_id, visitor.resumed())
        elif session.connection_id not in (None, visitor.connection_id):
            superseded = SessionSuperseded(session_id=session_id)
            self._runner.post_quietly(visitor.connection_id, superseded)
            return
        if isinstance(frame, Ping) and frame.session_id not in (None, session_id):
            self._greeting.repeat(visitor, session_id)  # it has missed that another story was begun
        elif isinstance(frame, SwitchWorld):
            self._greeting.switch(visitor, frame, session)
        else:
            self._requests.handle(session, frame)

    def _list(self, visitor: Visitor) -> None:
        """The newest stories, as many as one frame holds."""
        if visitor.subject is None:
            raise Refusal("no_subject")
        stories = SessionList(sessions=[])
        for session in self._store.sessions_of(visitor.subject, self._runner.clock()):
            longer = SessionList(sessions=[*stories.sessions, _view(session)])
            if len(longer.wire()) > MAX_FRAME_BYTES:
                break
            stories = longer
        self._runner.post_quietly(visitor.connection_id, stories)


def _view(session: Session) -> SessionView:
    return SessionView(
        session_id=session.session_id,
        title=session.title,
        world=session.world,
        created=session.created,
        expires=session.expires,
    )
