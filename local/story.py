"""A client's memory of one story, sans-I/O: frames in, the spliced text and what to send out.

This is the reference for every client: `tests/conformance/` holds it and the page to the same vectors.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from local.turns import TurnView, joined, merge
from session.events import (
    VERSION,
    ErrorFrame,
    ModelStatus,
    Pong,
    PrologueDone,
    PrologueEntry,
    PrologueQuestion,
    Queue,
    ServerFrame,
    SessionDeleted,
    SessionExport,
    SessionList,
    SessionReady,
    SessionRenamed,
    SessionSnapshot,
    SessionSuperseded,
    SessionView,
    TurnDelta,
    TurnDone,
    TurnRemoved,
    TurnStarted,
    TurnSuggestions,
    WorldView,
)

TurnFrame = TurnStarted | TurnDelta | TurnDone | TurnRemoved | TurnSuggestions
OPENING = "opening"  # the turn that begins by itself
LOST_TRACK = ("no_session", "not_last_turn")  # refusals that say: the client has missed something
Retelling = Literal["retry", "edit", "continue", "not_faq"]


@dataclass
class Story:
    """What the listener has been told. `receive` returns True where something is missing: then say `hello`
    for a snapshot. Until it is there, frames about turns are held back."""

    session_id: str = ""
    resume_key: str = ""
    turns: dict[str, TurnView] = field(default_factory=dict)
    entries: dict[int, PrologueEntry] = field(default_factory=dict)
    model: ModelStatus | None = None
    queue: Queue | None = None  # the place of a listener who waits: the house is full
    title: str = ""
    world: str = ""
    language: str = ""
    models: Sequence[str] = ()
    worlds: Sequence[WorldView] = ()
    suggestions: Sequence[str] = ()
    sessions: Sequence[SessionView] | None = None  # as last listed
    exported: str | None = None  # the last export, once it is whole
    superseded: bool = False  # do not reconnect
    deleted: bool = False  # nor resume
    removed: set[str] = field(default_factory=set)
    held: list[TurnFrame] | None = None  # frames that wait for a snapshot; None while none is awaited
    _snapshot: dict[int, SessionSnapshot] = field(default_factory=dict)
    _export: dict[int, SessionExport] = field(default_factory=dict)
    _requests: dict[str, str] = field(default_factory=dict)  # request id -> the turn it is about
    _asked: int = 0

    @property
    def open_turn(self) -> TurnView | None:
        return next((turn for turn in self.turns.values() if not turn.over), None)

    @property
    def last_turn(self) -> TurnView | None:
        return next(reversed(self.turns.values()), None)

    @property
    def question(self) -> PrologueQuestion | None:
        """The question asked last, unless the prologue is over."""
        last = None
        for _, entry in sorted(self.entries.items()):
            if isinstance(entry, PrologueQuestion):
                last = entry
            elif isinstance(entry, PrologueDone):
                last = None
        return last

    # What the listener does: each returns the frame to send.

    def hello(self, **wishes: str | None) -> dict[str, Any]:
        """The first frame. Resumes the story if there is one; else `wishes` count: world, language, model."""
        keys = {"session_id": self.session_id, "resume_key": self.resume_key} if self.session_id else wishes
        self._snapshot.clear()
        if self.session_id and self.held is None:
            self.held = []
        return {"action": "hello", "v": VERSION} | {name: value for name, value in keys.items() if value}

    def say(self, turn_id: str, text: str) -> dict[str, Any]:
        self.turns.setdefault(turn_id, TurnView(turn_id, 1, "", said=text, status="sending"))
        self._requests[turn_id] = turn_id
        return {"action": "say", "turn_id": turn_id, "text": text, "request_id": turn_id}

    def stop(self) -> dict[str, Any] | None:
        """Stops the open turn: what the listener sees of it stands still at once. None if there is none."""
        turn = self.open_turn
        if turn is None:
            return None
        turn.frozen = len(turn.shown)
        return {"action": "stop", "turn_id": turn.turn_id, "version": turn.version, "seen": turn.frozen}

    def retell(self, action: Retelling, text: str | None = None) -> dict[str, Any] | None:
        """The last turn once more, as a new version; `text` is for `edit`. None while that cannot be."""
        turn = self.last_turn
        if turn is None or self.open_turn is not None:
            return None
        self._asked += 1
        request_id = f"r-{self._asked}"
        self._requests[request_id] = turn.turn_id
        frame = {"action": action, "turn_id": turn.turn_id, "version": turn.version, "request_id": request_id}
        frame |= {} if text is None else {"text": text}
        self.turns[turn.turn_id] = turn.renewed(turn.version + 1, said=text, request=frame)
        return frame

    def undo(self) -> dict[str, Any] | None:
        turn = self.last_turn
        return None if turn is None else {"action": "undo", "turn_id": turn.turn_id}

    def ping(self) -> dict[str, Any]:
        """Names the open turn, or else the last one known: the server tells how it ended, or what has come
        since. Nobody asks for the opening scene, so that a client names it until it has come. A hello, while
        the snapshot that the last one asked for has not come."""
        if self.held is not None:
            return self.hello()
        turn = self.open_turn or (self.last_turn if OPENING in self.turns else None)
        known = turn.turn_id if turn else OPENING
        return {"action": "ping", "session_id": self.session_id, "turn_id": known}

    @property
    def unconfirmed(self) -> list[dict[str, Any]]:
        """Frames that, by a snapshot, never arrived. Sending them twice is harmless."""
        frames = []
        for turn in self.turns.values():
            if turn.status == "sending":
                frames.append(turn.request or self.say(turn.turn_id, turn.said))
            if not turn.over and turn.frozen is not None:
                frames.append(
                    {"action": "stop", "turn_id": turn.turn_id, "version": turn.version, "seen": turn.frozen}
                )
        return frames

    # What the server says.

    def receive(self, frame: ServerFrame) -> bool:
        match frame:
            case SessionReady():
                self._ready(frame)
            case SessionSnapshot():
                return self._part(frame)
            case ModelStatus():
                self.model = frame
                self.queue = self.queue if frame.state == "full" else None
            case Queue():
                self.queue = frame
            case SessionRenamed():
                self.title = frame.title
            case SessionDeleted():
                self._begin(session_id="", resume_key="", deleted=True)
            case SessionSuperseded():
                self.superseded = True
            case SessionList():
                self.sessions = frame.sessions
            case SessionExport():
                self._exported(frame)
            case ErrorFrame():
                return self._refused(frame)
            case Pong():
                known = next(seq for seq in range(len(self.entries) + 1) if seq not in self.entries)
                return self._missing(None) if self.held is not None or (frame.seq or 0) > known else False
            case TurnStarted() | TurnDelta() | TurnDone() | TurnRemoved() | TurnSuggestions():
                if self.held is None:
                    return self._turn(frame)
                self.held.append(frame)
            case _:
                self.entries[frame.seq] = frame
        return False

    def _ready(self, frame: SessionReady) -> None:
        if self.session_id not in ("", frame.session_id):
            self._begin()  # another story on this connection
        self.session_id = frame.session_id
        self.resume_key = frame.resume_key or self.resume_key
        self.title, self.world, self.language = frame.title, frame.world, frame.language
        self.models, self.worlds = frame.models, frame.worlds
        self.superseded = self.deleted = False
        self._snapshot.clear()
        if frame.resumed and self.held is None:
            self.held = []

    def _begin(self, **fields: Any) -> None:
        """As new, but for `fields`."""
        vars(self).update(vars(Story(**fields)))

    def _part(self, frame: SessionSnapshot) -> bool:
        self._snapshot[frame.part] = frame
        if len(self._snapshot) < frame.parts:
            return False
        parts = [part for _, part in sorted(self._snapshot.items())]
        self._snapshot.clear()
        self.entries.update({entry.seq: entry for part in parts for entry in part.prologue})
        told = joined(turn for part in parts for turn in part.turns if turn.turn_id not in self.removed)
        awaited = self.held is not None  # one that nobody asked for may be old: it takes nothing away
        self.turns = merge(self.turns, told, whole=awaited)
        held, self.held = self.held or [], None
        missing = False
        for turn_frame in held:
            if turn_frame.turn_id not in self.turns and isinstance(turn_frame, TurnDelta | TurnDone):
                continue  # older than the snapshot, which would have it: it was undone
            if self.held is None:
                missing |= self._turn(turn_frame)
            else:
                self.held.append(turn_frame)
        return missing

    def _turn(self, frame: TurnFrame) -> bool:
        turn = self.turns.get(frame.turn_id)
        if isinstance(frame, TurnRemoved):
            self.turns.pop(frame.turn_id, None)
            self.removed.add(frame.turn_id)  # for good: ids are never used again
        elif frame.turn_id in self.removed:
            pass
        elif isinstance(frame, TurnSuggestions):
            self.suggestions = frame.suggestions
        elif isinstance(frame, TurnStarted):
            self.suggestions = ()
            if turn is None:
                turn = TurnView(frame.turn_id, frame.version, frame.source)
            elif turn.version < frame.version:
                turn = turn.renewed(frame.version)
            turn.start(frame)
            self.turns[frame.turn_id] = turn
        elif turn is None or turn.version < frame.version:
            return self._missing(frame)  # its beginning is missing
        elif turn.version == frame.version:
            whole = turn.splice(frame) if isinstance(frame, TurnDelta) else turn.finish(frame)
            return False if whole else self._missing(frame)
        return False

    def _missing(self, frame: TurnFrame | None) -> bool:
        self.held = [*(self.held or []), *([frame] if frame else [])]
        return True

    def _refused(self, frame: ErrorFrame) -> bool:
        turn = self.turns.get(self._requests.pop(frame.request_id or "", ""))
        if turn is not None and turn.status == "sending":
            del self.turns[turn.turn_id]
            if turn.earlier:
                self.turns[turn.turn_id] = turn.before()
        return frame.code in LOST_TRACK and self.session_id != "" and self._missing(None)

    def _exported(self, frame: SessionExport) -> None:
        if frame.part == 1:
            self._export.clear()
            self.exported = None
        self._export[frame.part] = frame
        if len(self._export) == frame.parts:
            self.exported = "".join(part.text for _, part in sorted(self._export.items()))
            self._export.clear()
