"""The light function's work, free of Lambda: frames of a connection in, inputs of its session out."""

import hashlib
import hmac
import logging
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, assert_never

from session.errors import Refusal
from session.events import VERSION, Pong, SessionSuperseded
from session.inputs import (
    Answered,
    Disconnected,
    InvokeFailed,
    Paused,
    Pinged,
    Resumed,
    Said,
    Skipped,
    Stopped,
    Woken,
)
from session.limits import limits
from session.record import Model, Session
from session.requests import (
    Answer,
    ClientMessage,
    Hello,
    Pause,
    Ping,
    Say,
    Skip,
    Stop,
    Wake,
    error_frame,
    parse_client_frame,
)
from session.runner import Runner, UnknownSession

if TYPE_CHECKING:
    from prologue.faq.match import Matcher

log = logging.getLogger(__name__)


class PrologueService:
    """Args:
    worlds: names of the worlds that can be played; the first is the default.
    matcher: the FAQ of a world (slow at its first call), or None if there is none.
    """

    def __init__(
        self,
        runner: Runner,
        *,
        worlds: tuple[str, ...],
        model_name: str,
        matcher: Callable[[str], "Matcher | None"],
    ) -> None:
        self._runner = runner
        self._store = runner.store
        self._worlds = worlds
        self._model_name = model_name
        self._matcher = matcher

    def message(self, connection_id: str, body: str) -> None:
        """Answers one frame. Whatever is wrong with it, the listener is told and the session goes on."""
        request_id = None
        try:
            frame = parse_client_frame(body)
            request_id = frame.request_id
            self._handle(connection_id, frame)
        except Refusal as refusal:
            self._runner.post_quietly(connection_id, error_frame(refusal, request_id))
        except UnknownSession:
            self._runner.post_quietly(connection_id, error_frame(Refusal("unknown_session"), request_id))
        except Exception:  # the last resort of a boundary: the listener must hear of it
            log.exception("frame of connection %s failed", connection_id)
            self._runner.post_quietly(connection_id, error_frame(Refusal("internal"), request_id))

    def disconnected(self, connection_id: str) -> None:
        session_id = self._store.session_of(connection_id, self._runner.clock())
        self._store.unbind(connection_id)
        if session_id is not None:
            try:
                self._runner.apply(session_id, Disconnected(connection_id=connection_id))
            except UnknownSession:
                log.info("connection %s outlived its session", connection_id)

    def invoke_failed(self, session_id: str, epoch: int, message: str) -> None:
        """The model function's event was dropped, or its invocation failed."""
        self._runner.apply(session_id, InvokeFailed(epoch=epoch, message=message))

    def _handle(self, connection_id: str, frame: ClientMessage) -> None:
        if isinstance(frame, Hello):
            self._hello(connection_id, frame)
            return
        session_id = self._store.session_of(connection_id, self._runner.clock())
        if session_id is None:
            if isinstance(frame, Ping):
                self._runner.post_quietly(connection_id, Pong())
                return
            raise Refusal("no_session")
        session = self._store.load(session_id, self._runner.clock())
        if session is None:
            raise UnknownSession(session_id)
        if session.connection_id is None:  # it was given up for lost, and is not
            session = self._runner.apply(session_id, Resumed(connection_id=connection_id))
        elif session.connection_id != connection_id:
            self._runner.post_quietly(connection_id, SessionSuperseded(session_id=session_id))
            return
        self._apply(session, frame)

    def _apply(self, session: Session, frame: Answer | Skip | Pause | Say | Stop | Wake | Ping) -> None:
        session_id, apply = session.session_id, self._runner.apply
        match frame:
            case Answer():
                apply(
                    session_id,
                    Answered(question_id=frame.question_id, choice=frame.choice, text=frame.text),
                )
            case Skip():
                apply(session_id, Skipped(question_id=frame.question_id))
            case Pause():
                apply(session_id, Paused(paused=frame.paused))
            case Say():
                faq = self._faq_answer(session.world, frame.text)
                seed = secrets.randbelow(2**31)
                apply(session_id, Said(turn_id=frame.turn_id, text=frame.text, seed=seed, faq=faq))
            case Stop():
                apply(session_id, Stopped(turn_id=frame.turn_id))
            case Wake():
                apply(session_id, Woken())
            case Ping():
                apply(session_id, Pinged(turn_id=frame.turn_id))
            case _:
                assert_never(frame)

    def _hello(self, connection_id: str, hello: Hello) -> None:
        if hello.v != VERSION:
            raise Refusal("unsupported_version")
        now = self._runner.clock()
        bound = self._store.session_of(connection_id, now)
        if bound is not None and hello.session_id in (None, bound):
            self._runner.apply(bound, Resumed(connection_id=connection_id))  # the same hello again
        elif bound is not None:
            raise Refusal("already_greeted")
        elif hello.session_id is not None:
            self._resume(connection_id, hello.session_id, hello.resume_key or "")
        else:
            self._begin(connection_id, hello)

    def _resume(self, connection_id: str, session_id: str, resume_key: str) -> None:
        session = self._store.load(session_id, self._runner.clock())
        known = session.resume_hash if session else ""
        if session is None or not hmac.compare_digest(known, _hash(resume_key)):
            raise Refusal("unknown_session")
        self._bind(connection_id, session_id)
        self._runner.apply(session_id, Resumed(connection_id=connection_id))
        self._matcher(session.world)

    def _begin(self, connection_id: str, hello: Hello) -> None:
        world = hello.world or self._worlds[0]
        if world not in self._worlds:
            raise Refusal(
                "unknown_world", f"There is no world {world!r}; there are: {', '.join(self._worlds)}."
            )
        if hello.model not in (None, self._model_name):
            raise Refusal(
                "unknown_model", f"There is no model {hello.model!r}; there is: {self._model_name}."
            )
        now = self._runner.clock()
        warm = now - self._store.model_seen(self._model_name) < limits().resting_s
        session_id, resume_key = secrets.token_hex(12), secrets.token_urlsafe(32)
        self._bind(connection_id, session_id)
        self._runner.start(
            Session(
                session_id=session_id,
                resume_hash=_hash(resume_key),
                world=world,
                model_name=self._model_name,
                created=now,
                expires=int(now) + limits().session_days * 86_400,
                connection_id=connection_id,
                connected_at=now,
                model=Model(state="resting" if warm else "cold"),
            ),
            resume_key,
        )
        self._matcher(world)  # load it now, while the opening lines are being read

    def _bind(self, connection_id: str, session_id: str) -> None:
        expires = int(self._runner.clock()) + limits().connection_hours * 3600
        self._store.bind(connection_id, session_id, expires)

    def _faq_answer(self, world: str, text: str) -> str | None:
        matcher = self._matcher(world) if 0 < len(text) <= limits().faq_chars else None
        found = matcher.match(text) if matcher else None
        return found.answer if found else None


def _hash(resume_key: str) -> str:
    return hashlib.sha256(resume_key.encode()).hexdigest()
