"""How a connection comes to speak for a session: a new one, an earlier one, or another world's."""

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from session.errors import Refusal
from session.events import VERSION, WorldView
from session.inputs import Disconnected, Resumed
from session.limits import limits
from session.record import Model, Session
from session.requests import Hello, SwitchWorld
from session.runner import Runner
from session.store import Conflict

if TYPE_CHECKING:
    from prologue.faq.match import Matcher

_KEYS = 4  # of a session, the newest ones
MatcherOf = Callable[[str, str], "Matcher | None"]  # of a world, in a language


@dataclass(frozen=True)
class Visitor:
    """Who sent a frame. `address` and `ticket` are "", and `subject` None, where they are not known."""

    connection_id: str
    address: str = ""
    subject: str | None = None
    ticket: str = ""  # that let the connection in

    @property
    def payer(self) -> str:
        """Who answers for the model seconds that are spent for them. An address is kept as a hash."""
        if self.subject is not None:
            return f"subject:{self.subject}"
        return f"address:{_hash(self.address)[:32]}" if self.address else ""

    def resumed(self) -> Resumed:
        return Resumed(connection_id=self.connection_id, payer=self.payer)


class Greeting:
    """Args:
    matcher: called after the greeting, so that the FAQ is loaded while the first lines are read.
    tokens: makes an unguessable text from that many random bytes.
    """

    def __init__(self, runner: Runner, *, matcher: MatcherOf, tokens: Callable[[int], str]) -> None:
        self._runner = runner
        self._store = runner.store
        self._matcher = matcher
        self._tokens = tokens

    def hello(self, visitor: Visitor, hello: Hello, bound: str | None) -> None:
        """`bound`: the session that the connection speaks for already."""
        if hello.v != VERSION:
            raise Refusal("unsupported_version")
        known = self._living(bound)
        if known is not None and hello.session_id == bound and hello.resume_key:
            # It has what it needs, and asks for a snapshot.
            session = self._runner.apply(known.session_id, visitor.resumed())
        elif known is not None and hello.session_id in (None, bound):
            session = self.repeat(visitor, known.session_id)
        elif known is not None:
            raise Refusal("already_greeted")
        elif hello.session_id is not None:
            session = self._resume(visitor, hello, bound)
        else:
            view = self._view(hello.world, hello.language)
            session = self._begin(visitor, view, hello.model, bound, visitor.ticket)
        self._matcher(session.world, session.language)

    def switch(self, visitor: Visitor, frame: SwitchWorld, old: Session) -> None:
        """A new story on this connection. Again, before anything was done in it, it changes nothing."""
        view = self._view(frame.name, frame.language)
        if (old.world, old.language) == (view.name, view.language) and _is_fresh(old):
            session = self.repeat(visitor, old.session_id)
        else:
            session = self._begin(visitor, view, old.model_name, old.session_id, old.ticket or visitor.ticket)
        self._matcher(session.world, session.language)

    def _living(self, session_id: str | None) -> Session | None:
        session = self._store.load(session_id, self._runner.clock()) if session_id else None
        if session is not None and session.deleted:
            self._store.erase(session)  # in case its erasure was cut short: nobody else comes back to it
            return None
        return session

    def repeat(self, visitor: Visitor, session_id: str) -> Session:
        """The connection's first hello again: the answer, with the only key, may have been lost. A key can't
        be told twice, for it is not kept; so the client gets a further one, and whichever it has is good."""
        key = self._tokens(32)

        def resumed(session: Session) -> Resumed:
            hashes = " ".join([*session.resume_hash.split(), _hash(key)][-_KEYS:])
            return Resumed(
                connection_id=visitor.connection_id, payer=visitor.payer, resume_key=key, resume_hash=hashes
            )

        return self._runner.apply_made(session_id, resumed)

    def _resume(self, visitor: Visitor, hello: Hello, bound: str | None) -> Session:
        session = self._living(hello.session_id)
        offered = _hash(hello.resume_key or "")
        known = session.resume_hash.split() if session else []
        fits = [hmac.compare_digest(key, offered) for key in known]
        if session is None or not any(fits) or session.subject not in (None, visitor.subject):
            raise Refusal("unknown_session")
        try:
            self._bind(visitor, session.session_id, bound)
        except Conflict:
            raise Refusal("already_greeted") from None
        return self._runner.apply(session.session_id, visitor.resumed())

    def _begin(
        self, visitor: Visitor, view: WorldView, model: str | None, bound: str | None, ticket: str
    ) -> Session:
        """Of several hellos at a time the first to bind the connection makes the session; the others are
        answered as repeats of it."""
        model = model or self._runner.models[0]
        if model not in self._runner.models:
            known = ", ".join(self._runner.models)
            raise Refusal("unknown_model", f"There is no model {model!r}; there are: {known}.")
        now = self._runner.clock()
        if visitor.address and self._store.count_session(visitor.address, now) > limits().address_sessions:
            raise Refusal("too_many_sessions")
        state, typical_s = self._runner.capacity.outlook(model)
        resume_key = self._tokens(32)
        session = Session(
            session_id=self._tokens(12),
            resume_hash=_hash(resume_key),
            world=view.name,
            language=view.language,
            subject=visitor.subject,
            ticket=ticket,
            payer=visitor.payer,
            model_name=model,
            created=now,
            expires=int(now) + limits().session_days * 86_400,
            connection_id=visitor.connection_id,
            connected_at=now,
            model=Model(state=state, typical_s=typical_s),
        )

        def bind() -> None:
            self._leave(visitor, bound)  # from here on it has no listener,
            self._bind(visitor, session.session_id, bound)
            self._leave(visitor, bound)  # not even one whom a frame on its way has brought back

        try:
            return self._runner.start(session, resume_key, bind)
        except Conflict:
            self._store.erase(session)
            first = self._store.session_of(visitor.connection_id, now)
            if first is None:  # this took so long that the connection has ended since
                raise Refusal("no_session") from None
            return self.repeat(visitor, first)

    def _leave(self, visitor: Visitor, session_id: str | None) -> None:
        if session_id is not None and self._living(session_id) is not None:
            self._runner.apply(session_id, Disconnected(connection_id=visitor.connection_id))

    def _bind(self, visitor: Visitor, session_id: str, instead_of: str | None) -> None:
        now = self._runner.clock()
        expires = int(now) + limits().connection_hours * 3600
        self._store.bind(visitor.connection_id, session_id, expires, instead_of=instead_of, now=now)

    def _view(self, world: str | None, language: str | None) -> WorldView:
        offer = self._runner.offer
        name = world or offer[0].name
        editions = [view for view in offer if view.name == name]
        if not editions:
            known = ", ".join(dict.fromkeys(view.name for view in offer))
            raise Refusal("unknown_world", f"There is no world {name!r}; there are: {known}.")
        if language is None:
            return editions[0]
        for view in editions:
            if view.language == language:
                return view
        spoken = ", ".join(view.language for view in editions)
        raise Refusal("unknown_world", f"{name!r} is not told in {language!r}; its languages: {spoken}.")


def _is_fresh(session: Session) -> bool:
    """Whether the listener has done nothing in it yet."""
    return not session.dialogue.answers and not session.turns and session.live is None


def _hash(resume_key: str) -> str:
    return hashlib.sha256(resume_key.encode()).hexdigest()
