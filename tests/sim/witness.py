"""Watches everything and knows what must never be: the invariants that hold at every step."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from session.events import (
    ErrorFrame,
    Frame,
    SessionList,
    SessionReady,
    SessionSnapshot,
    TurnDelta,
    TurnDone,
    TurnStarted,
)
from session.limits import limits
from session.record import OPENING_TURN, LiveTurn, Phase, Session, Turn
from tests.sim.clockwork import Clockwork, Host
from tests.sim.payroll import Payroll

if TYPE_CHECKING:
    from tests.sim.gateway import Connection

SKEW_S = 60.0  # at most so far apart are any two clocks
STOP_S = 0.5
LEISURE_S = 6.0  # the slowest look of a holder at its record: a refused post may make it wait 4 s
Version = tuple[str, str, int]  # session, turn, version


@dataclass
class Mind:
    """What a host knows because it has written it, or was answered with it."""

    seats: dict[str, tuple[int, str]] = field(default_factory=dict)  # by session: epoch and holder
    texts: dict[Version, str] = field(default_factory=dict)
    telling: Version | None = None
    continued: int = 0  # of that text, what it goes on from


class Witness:
    def __init__(self, clockwork: Clockwork) -> None:
        self.clockwork = clockwork
        self.found: list[str] = []
        self.trace: list[str] | None = None
        self.minds: defaultdict[str, Mind] = defaultdict(Mind)
        self.payroll = Payroll()
        self.room_s = 0.0  # with less of its time left a holder need not begin another turn
        self.created: dict[str, tuple[float, str | None]] = {}  # when, and for whom who has signed in
        self.deleted: dict[str, float] = {}
        self.wiped: set[str] = set()  # with everything that the table kept of them
        self.erased: set[str] = set()  # of the deleted ones, those whose listener was told so
        self.begun: set[Version] = set()
        self.ended: dict[Version, tuple[float, Turn]] = {}
        self.ends_of: defaultdict[str, list[Version]] = defaultdict(list)  # by session, oldest first
        self.removed: set[Version] = set()
        self.stops: dict[Version, float] = {}
        self.gone: dict[str, tuple[float, float]] = {}  # since when nobody listens, and by whose clock
        self.asked: set[Version] = set()  # what listeners have asked for
        self.is_open: Callable[[str, str], bool] = lambda connection_id, session_id: False
        self.epochs: dict[str, tuple[int, float]] = {}  # the newest, and since when
        self.sessions_at: defaultdict[str, list[str]] = defaultdict(list)  # by connection
        self.line_of: Callable[[str], Connection | None] = lambda connection_id: None
        self.stopped_by_listener: set[tuple[str, str]] = set()
        self._back: dict[str, float] = {}  # by session, since when its listener has been there
        self._refused: dict[tuple[str, str, Version], int] = {}  # offsets of refused deltas
        self._excess: defaultdict[tuple[str, str, Version], int] = defaultdict(int)

    @property
    def now(self) -> float:
        return self.clockwork.now

    def accuse(self, crime: str) -> None:
        self.found.append(f"{self.now:.3f}: {crime}")
        self.note("VIOLATION", crime)

    def note(self, who: str, what: str) -> None:
        if self.trace is not None:
            self.trace.append(f"{self.now:9.3f}  {who:12} {what}")

    # ---- writes ----

    def stored(
        self,
        host: Host,
        before: Session | None,
        after: Session,
        archive: Sequence[Turn],
        remove: Sequence[tuple[int, int]],
    ) -> None:
        session_id, mind = after.session_id, self.minds[host.name]
        if self.trace is not None:
            self.note(host.name, _difference(before, after, archive, remove))
        if before is None:
            if session_id in self.created:
                self.accuse(f"{host.name} made {session_id} anew after it was erased")
            self.created[session_id] = self.now, after.subject
        elif before.deleted and (not after.deleted or archive):
            self.accuse(f"{host.name} brought something of the deleted {session_id} back")
        if after.deleted:
            self.deleted.setdefault(session_id, self.now)
            if after.live or after.dialogue.answers or after.last_done:
                self.accuse(f"{session_id} is deleted, and its record still tells something")
        self._seats(host, mind, before, after)
        self._connection(host, before, after)
        for turn in archive:
            version = session_id, turn.turn_id, turn.version
            if version in self.ended or version in self.removed:
                self.accuse(f"{version} got a second terminal state, {turn.status}")
            if (turn.status, turn.finish_reason) == ("failed", "error") and not host.struck:
                self.accuse(f"{version} failed on {host.name}, and nothing was wrong there")
            self.ended[version] = self.now, turn
            self.ends_of[session_id].append(version)
            mind.texts[version] = turn.text
        for number, numbered in remove:
            gone = [v for v, (_, t) in self.ended.items() if v[0] == session_id and t.number == number]
            self.removed.update(v for v in gone if v[2] == numbered)
        self._live(host, mind, before, after)

    def _live(self, host: Host, mind: Mind, before: Session | None, after: Session) -> None:
        old, new = _version(before), _version(after)
        if old and old != new and old not in self.ended and not after.deleted:
            self.accuse(f"{old} vanished without a terminal state")
        if new is None:
            mind.telling = None if mind.telling == old else mind.telling
            return
        assert after.live is not None
        if new != old:
            if new in self.begun or new in self.ended:
                self.accuse(f"{new} was begun twice")
            if new[1] == OPENING_TURN and new[2] == 1 and any(v[:2] == new[:2] for v in self.begun):
                self.accuse(f"the opening scene of {new[0]} was begun twice")
            if new[1:] != (OPENING_TURN, 1) and new not in self.asked:
                self.accuse(f"{new} was begun, and nobody had asked for it")
            self.begun.add(new)
        if after.stop and not (before and before.stop and old == new):
            self.stops[new] = self.now
        if after.live.status == "running":
            mind.texts[new] = after.live.text
            if host.is_model and (old != new or not _running(before)):
                mind.telling, mind.continued = new, after.live.continued
                if not host.name.startswith(f"model-{after.model_name}-"):
                    self.accuse(f"{host.name} tells {new}, and {after.model_name} was chosen")

    def _seats(self, host: Host, mind: Mind, before: Session | None, after: Session) -> None:
        session_id, seat = after.session_id, after.seat
        if before is None or seat.epoch != before.seat.epoch:
            self.epochs[session_id] = seat.epoch, self.now
        if not host.is_model or before is None:
            return
        if seat.holder and (seat.epoch, seat.holder) != (before.seat.epoch, before.seat.holder):
            mind.seats[session_id] = seat.epoch, seat.holder  # claimed
            self.payroll.seated(host, session_id)
            return
        if before.seat.holder and not seat.holder and seat.epoch == before.seat.epoch:
            self._released(host, after)
        if _tells(before, after):
            held = mind.seats.get(session_id)
            if held != (before.seat.epoch, before.seat.holder):
                self.accuse(f"{host.name} wrote {session_id} with {held} while the seat was {before.seat}")

    def _released(self, host: Host, after: Session) -> None:
        """A holder may leave waiting work only to others that have more time, or if nobody listens."""
        works = after.live is not None or after.phase is Phase.AWAITING
        seen_at = host.hindered_since if host.hindered > self.now - LEISURE_S else self.now
        there_s = seen_at - self._back.get(after.session_id, self.now)
        own = host.name.startswith(f"model-{after.model_name}-")
        if works and own and there_s > LEISURE_S and self.payroll.left_s(host) > self.room_s:
            self.accuse(f"{host.name} left {after.session_id} while work waits there")

    def _connection(self, host: Host, before: Session | None, after: Session) -> None:
        was = before.connection_id if before else None
        if after.connection_id is None:
            self._back.pop(after.session_id, None)
            self.gone.setdefault(after.session_id, (self.now, host.skew))
            if was is not None and self.is_open(was, after.session_id):
                self.accuse(f"{host.name} took the open connection {was} from {after.session_id}")
        else:
            self._back.setdefault(after.session_id, self.now)
            self.gone.pop(after.session_id, None)
            known = self.sessions_at[after.connection_id]
            if after.session_id not in known:
                known.append(after.session_id)

    def appended(self, host: Host, before: Session | None, after: Session, offset: int, text: str) -> None:
        mind, new = self.minds[host.name], _version(after)
        assert before is not None
        assert before.live is not None
        assert after.live is not None
        assert new is not None
        if self.trace is not None:
            self.note(host.name, f"appends to {new} at {offset}: {text!r}")
        if after is before:
            return  # its own write, found again
        if mind.seats.get(new[0]) != (before.seat.epoch, before.seat.holder):
            self.accuse(f"{host.name} appended to {new} without the seat {before.seat}")
        if before.live.length != offset or after.live.text != before.live.text + text:
            self.accuse(f"{host.name} garbled {new} at {offset}")
        mind.texts[new] = after.live.text
        self._connection(host, before, after)

    # ---- posts ----

    def posted(self, host: Host, connection_id: str, frame: Frame) -> None:
        if self.trace is not None:
            self.note(host.name, f"-> {connection_id} {frame!r}"[:240])
        if isinstance(frame, ErrorFrame) and frame.code == "internal" and not host.struck:
            self.accuse(f"{host.name} answered with an internal error, and nothing was wrong there")
        if isinstance(frame, SessionReady):
            self._greeted(host, connection_id, frame.session_id)
        elif isinstance(frame, SessionList):
            self._listed(host, connection_id, frame)
        elif isinstance(frame, SessionSnapshot):
            for known in [known for known in self._refused if known[1] == connection_id]:
                del self._refused[known]
        if not isinstance(frame, TurnStarted | TurnDelta | TurnDone):
            return
        versions = [(s, frame.turn_id, frame.version) for s in self.sessions_at[connection_id]]
        if isinstance(frame, TurnDelta):
            self._delta(host, connection_id, versions, frame)
        elif isinstance(frame, TurnDone):
            ends = [self.ended[v][1] for v in versions if v in self.ended]
            if not any((t.status, len(t.text)) == (frame.status, frame.length) for t in ends):
                self.accuse(f"{host.name} told an end that is not stored: {frame!r}")
        elif not any(v in self.begun or v in self.ended for v in versions):
            self.accuse(f"{host.name} told a beginning that is not stored: {frame!r}")

    def _greeted(self, host: Host, connection_id: str, session_id: str) -> None:
        _, owner = self.created[session_id]
        line = self.line_of(connection_id)
        if line is not None and owner not in (None, line.line.subject):
            self.accuse(f"{host.name} greeted {line.line.subject} in {session_id}, which is {owner}'s")

    def _listed(self, host: Host, connection_id: str, frame: SessionList) -> None:
        """Exactly the stories of whoever asks: but for those that come or go just now."""
        line, listed = self.line_of(connection_id), {view.session_id for view in frame.sessions}
        subject = line.line.subject if line is not None else None
        before = min(self.now, host.began) - 0.1
        own = {known for known, (_, owner) in self.created.items() if owner == subject}
        gone = {known for known, since in self.deleted.items() if since < before}
        due = {known for known in own - self.wiped - set(self.deleted) if self.created[known][0] < before}
        if listed - own or listed & gone or due - listed:
            self.accuse(f"{host.name} listed {listed} for {subject}: {due} are due, {gone} gone")

    def refused(self, host: Host, connection_id: str, frame: TurnDelta) -> None:
        """The gateway did not take it: it goes out with what comes next."""
        mind = self.minds[host.name]
        telling = mind.telling
        if telling is not None and frame.offset >= mind.continued:  # what was there before, any hello tells
            self._refused.setdefault((host.name, connection_id, telling), frame.offset)

    def _delta(self, host: Host, connection_id: str, versions: list[Version], frame: TurnDelta) -> None:
        texts = self.minds[host.name].texts
        mine = [v for v in versions if v in texts]
        if not any(texts[v][frame.offset : frame.offset + len(frame.text)] == frame.text for v in mine):
            self.accuse(f"{host.name} posted what it had not stored: {frame!r}")
        telling = self.minds[host.name].telling
        refused = self._refused.pop((host.name, connection_id, telling), None) if telling in mine else None
        if refused is not None and frame.offset > refused:
            self.accuse(f"{host.name} dropped {telling} from {refused} to {frame.offset}")
        stopped = self.stops.get(telling) if telling and telling in mine else None
        if stopped is not None and self.now > max(stopped, host.hindered) + STOP_S:
            self.accuse(f"{host.name} posted {telling} {self.now - stopped:.2f} s after its stop was stored")

    # ---- computing ----

    def computes(self, host: Host) -> None:
        """A token, or a chunk of the prompt, begins to be computed."""
        version = self.minds[host.name].telling
        if version is None:
            self.accuse(f"{host.name} computes, and nobody knows for whom")
            return
        session_id, late = version[0], self.now - LEISURE_S
        self._once("after a stop", host, version, self.stops.get(version), STOP_S)
        if session_id in self.gone:
            since, skew = self.gone[session_id]
            grace = limits().grace_s + abs(skew - host.skew) + LEISURE_S
            self._once("with nobody listening", host, version, since, grace)
        self._once("for a deleted session", host, version, self.deleted.get(session_id), LEISURE_S)
        epoch, since = self.epochs[session_id]
        held = self.minds[host.name].seats.get(session_id)
        if held and held[0] != epoch and late > since:
            self._once("without a seat", host, version, since, LEISURE_S)

    def _once(self, why: str, host: Host, version: Version, since: float | None, allowed: float) -> None:
        if since is not None and self.now > max(since, host.hindered) + allowed:
            self._excess[why, host.name, version] += 1
            if self._excess[why, host.name, version] > 1:
                self.accuse(f"{host.name} computes {version} {why} since {self.now - since:.2f} s")


def _version(session: Session | None) -> Version | None:
    live: LiveTurn | None = session.live if session else None
    return (session.session_id, live.turn_id, live.version) if session and live else None


def _running(session: Session | None) -> bool:
    return session is not None and session.live is not None and session.live.status == "running"


def _tells(before: Session, after: Session) -> bool:
    """Whether more was written than that a connection is gone."""
    return (before.live, before.phase, before.dialogue, before.model, before.last_done, before.turns) != (
        after.live, after.phase, after.dialogue, after.model, after.last_done, after.turns
    )  # fmt: skip


def _difference(
    before: Session | None, after: Session, archive: Sequence[Turn], remove: Sequence[tuple[int, int]]
) -> str:
    """For the trace: what a write changed."""
    told = [f"{after.session_id} rev {after.rev}:"]
    for name in type(after).model_fields:
        old, new = getattr(before, name, None), getattr(after, name)
        if old != new and name not in ("rev", "recent", "session_id", "expires"):
            told.append(f"{name}={str(new)[:160]}")
    told += [f"archives {t.turn_id} v{t.version} {t.status} {t.text[:40]!r}" for t in archive]
    told += [f"removes {number} v{version}" for number, version in remove]
    return " ".join(told)
