"""A client's memory of one story, sans-I/O: frames in, the spliced text and what was asked out."""

from dataclasses import dataclass, field

from session.events import (
    ErrorFrame,
    ModelStatus,
    PrologueDone,
    PrologueEntry,
    PrologueQuestion,
    ServerFrame,
    SessionReady,
    SessionSnapshot,
    TurnDelta,
    TurnDone,
    TurnStarted,
)


@dataclass
class TurnView:
    """A turn as this client knows it; `waiting` from the moment it is said."""

    turn_id: str
    version: int
    source: str
    said: str = ""
    text: str = ""
    status: str = "running"
    done: TurnDone | None = None

    @property
    def over(self) -> bool:
        return self.status not in ("waiting", "running")


@dataclass
class Story:
    """What the listener has been told. `receive` returns True where something is missing: then say hello
    with `session_id` and `resume_key` for a snapshot."""

    session_id: str = ""
    resume_key: str = ""
    turns: dict[str, TurnView] = field(default_factory=dict)
    entries: dict[int, PrologueEntry] = field(default_factory=dict)
    model: ModelStatus | None = None

    @property
    def open_turn(self) -> TurnView | None:
        return next((turn for turn in self.turns.values() if not turn.over), None)

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

    def receive(self, frame: ServerFrame) -> bool:
        match frame:
            case SessionReady():
                self.session_id = frame.session_id
                self.resume_key = frame.resume_key or self.resume_key
            case SessionSnapshot():
                self._snapshot(frame)
            case ModelStatus():
                self.model = frame
            case TurnStarted():
                known = self.turns.get(frame.turn_id)
                if known is None or known.version < frame.version or known.status == "waiting":
                    said = known.said if known else ""
                    self.turns[frame.turn_id] = TurnView(frame.turn_id, frame.version, frame.source, said)
            case ErrorFrame() if frame.request_id in self.turns:  # a `say` that was refused
                del self.turns[frame.request_id]
            case TurnDelta():
                return self._delta(frame)
            case TurnDone():
                return self._done(frame)
            case _:
                if isinstance(frame, PrologueEntry):
                    self.entries[frame.seq] = frame
        return False

    def _snapshot(self, frame: SessionSnapshot) -> None:
        for turn in frame.turns:
            view = TurnView(turn.turn_id, turn.version, turn.source, turn.said, turn.text, turn.status)
            known = self.turns.get(turn.turn_id)
            if known and known.version == view.version and known.text.startswith(view.text) and not view.over:
                continue  # newer deltas overtook the snapshot
            self.turns[turn.turn_id] = view
        self.entries.update({entry.seq: entry for entry in frame.prologue})

    def _delta(self, frame: TurnDelta) -> bool:
        turn = self.turns.get(frame.turn_id)
        if turn is None or turn.version < frame.version:
            return True  # its beginning is missing
        if turn.version > frame.version or turn.over:
            return False
        if frame.offset > len(turn.text):
            return True
        turn.text = turn.text[: frame.offset] + frame.text + turn.text[frame.offset + len(frame.text) :]
        return False

    def _done(self, frame: TurnDone) -> bool:
        turn = self.turns.get(frame.turn_id)
        if turn is None or turn.version > frame.version:
            return turn is None
        turn.status, turn.done = frame.status, frame
        return len(turn.text) != frame.length and frame.status != "stopped"
