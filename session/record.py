"""What the table keeps of a session: one head item with all that is live, and one item per finished turn.

The head stays small at any length of story, so that the one write per delta stays cheap.
"""

from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from prologue.dialogue import DialogueState
from session.events import ModelStateName, Saved, TurnDone, TurnSnapshot, TurnStatus

OPENING_TURN = "opening"


class Record(BaseModel):
    # Errors about a record, which logs may show, tell nothing that it holds.
    model_config = ConfigDict(frozen=True, hide_input_in_errors=True, defer_build=True)


class Phase(StrEnum):
    PROLOGUE = "prologue"  # questions are open
    AWAITING = "awaiting"  # answered; the opening scene has not begun
    STORY = "story"


class Seat(Record):
    """Who may speak for the model. Rightful is whoever holds the newest `epoch`; `expires` only says
    when a silent holder may be replaced."""

    epoch: int = 0
    holder: str = ""  # request id of the invocation that claimed it; empty until claimed
    expires: float = 0.0

    def live(self, now: float) -> bool:
        return now < self.expires


class Model(Record):
    """The model as this session last saw it."""

    state: ModelStateName = "cold"
    loaded_bytes: int = 0
    total_bytes: int = 0
    eta_s: float | None = None
    message: str | None = None
    typical_s: float | None = None  # median of earlier real starts of this model
    woken_at: float = 0.0  # when the running start was asked for; 0 if none runs
    rests_until: float = 0.0  # nobody asks for it by themselves before: the day's model seconds are spent


class LiveTurn(Record):
    """The one turn that waits for the model or is being told. Its text grows by one write per delta."""

    turn_id: str
    version: int = 1
    number: int
    said: str
    seed: int
    status: Literal["waiting", "running"] = "waiting"
    created: float
    chunks: tuple[str, ...] = ()
    length: int = 0  # code points in `chunks`
    continued: int = 0  # of them were there before: the text that `continue` goes on from

    @property
    def text(self) -> str:
        return "".join(self.chunks)

    def snapshot(self) -> TurnSnapshot:
        return TurnSnapshot(
            turn_id=self.turn_id,
            version=self.version,
            said=self.said,
            text=self.text,
            status=self.status,
            source="model",
        )


class Turn(Record):
    """A finished turn: never changed again."""

    number: int
    turn_id: str
    version: int
    said: str
    text: str
    status: TurnStatus
    finish_reason: str
    source: Literal["model", "faq"]
    created: float

    def snapshot(self) -> TurnSnapshot:
        return TurnSnapshot(
            turn_id=self.turn_id,
            version=self.version,
            said=self.said,
            text=self.text,
            status=self.status,
            finish_reason=self.finish_reason,
            source=self.source,
        )


class LastTurn(Record):
    """What the rules need of the last finished turn; its texts are archived."""

    turn_id: str
    number: int
    version: int
    source: Literal["model", "faq"]
    status: TurnStatus
    finish_reason: str
    length: int


class Spent(Record):
    """What the story has used. The day is UTC's, counted from the epoch."""

    turns: int = 0
    tokens: int = 0
    day: int = 0
    day_turns: int = 0
    day_tokens: int = 0


class Session(Record):
    """The head item."""

    session_id: str
    resume_hash: str  # of each key that opens it; a space between
    world: str
    language: str = "en"
    title: str = ""
    subject: str | None = None  # who owns it, where listeners sign in
    ticket: str = ""  # it began with: that one answers for the model seconds of all that followed
    payer: str = ""  # so does this address or subject: the one that came last
    deleted: bool = False  # being erased: as good as gone
    model_name: str
    created: float
    expires: int  # epoch seconds: the table's TTL
    rev: int = 0  # grows with every write
    phase: Phase = Phase.PROLOGUE
    connection_id: str | None = None
    connected_at: float = 0.0
    gone_at: float | None = None
    dialogue: DialogueState = Field(default_factory=DialogueState)
    model: Model = Field(default_factory=Model)
    seat: Seat = Field(default_factory=Seat)
    work_seq: int = 0
    wished_at: float = 0.0  # when a start was last asked for that nothing waited for; 0 once it was of use
    retried_at: float = 0.0  # when a failed start was last tried again
    live: LiveTurn | None = None
    stop: bool = False  # the live turn is to stop
    stop_seen: int | None = None  # and its text to end there
    tombstones: tuple[str, ...] = ()  # stops that came before their turns
    turns: int = 0  # finished turns: the next one's number
    last: LastTurn | None = None
    removed: tuple[str, ...] = ()  # ids of the last undone turns
    queued_at: float = 0.0  # since when the house has been full; 0 if the session is not queued
    place: int = 0  # in the queue, as last told
    spent: Spent = Field(default_factory=Spent)
    saved: Saved = Field(default_factory=Saved)  # by the FAQ, in all
    recent: tuple[str, ...] = ()  # ids of the last finished turns
    last_done: TurnDone | None = None

    def deserted(self, now: float, grace_s: float) -> bool:
        """Whether the listener has been gone for longer than the grace."""
        return self.connection_id is None and now - (self.gone_at or now) > grace_s
