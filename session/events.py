"""The wire: what every frame is, and all that Curtain may send (`session/requests.py`: what a client may).

JSON text frames of at most 32 KB in either direction. The client names an `action`, the server a `type`.
`docs/asyncapi.yaml` is generated from both. `offset`s and `length`s count Unicode code points.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter

from session.errors import Code

VERSION = 1
MAX_FRAME_BYTES = 32 * 1024  # API Gateway's frame limit; a larger frame closes the connection with 1009

Id = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.:-]+$")]
TurnStatus = Literal["completed", "stopped", "failed", "incomplete"]
Estimate = Annotated[float, AfterValidator(lambda seconds: round(seconds, 1))]  # nobody knows it finer
ModelStateName = Literal["cold", "resting", "starting", "loading", "ready", "full", "failed"]


class Frame(BaseModel):
    # Built at its first use: a cold start needs few of them.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, defer_build=True)

    def wire(self) -> bytes:
        """The frame as it travels: compact JSON in UTF-8, absent fields left out."""
        return self.model_dump_json(exclude_none=True).encode()


class WorldView(Frame):
    """A world that can be played, in one of its languages."""

    name: str
    language: str
    title: str


class SessionReady(Frame):
    type: Literal["session.ready"] = "session.ready"
    v: int = VERSION
    session_id: str
    resume_key: str | None = None  # told when the session is made, or to a client that may have missed it
    world: str
    language: str = "en"
    title: str = ""  # the listener's own name of the story
    worlds: list[WorldView] = []
    model: str
    models: list[str]
    resumed: bool


class TurnSnapshot(Frame):
    turn_id: str
    version: int
    said: str
    text: str
    status: TurnStatus | Literal["waiting", "running"]
    finish_reason: str | None = None  # of an ended turn
    source: Literal["model", "faq"]


class ChoiceView(Frame):
    id: str
    label: str


class PrologueLine(Frame):
    type: Literal["prologue.line"] = "prologue.line"
    seq: int
    speaker: str
    text: str
    pause_ms: int = 0


class PrologueQuestion(Frame):
    type: Literal["prologue.question"] = "prologue.question"
    seq: int
    id: str
    speaker: str
    text: str
    choices: list[ChoiceView]
    free_text: bool
    placeholder: str = ""


class PrologueFragment(Frame):
    """One piece of the countdown. `progress` is the share of the weights read when it was told."""

    type: Literal["prologue.fragment"] = "prologue.fragment"
    seq: int
    speaker: str = ""
    text: str
    progress: float


class PrologueDone(Frame):
    type: Literal["prologue.done"] = "prologue.done"
    seq: int
    answers: dict[str, str]


PrologueEntry = PrologueLine | PrologueQuestion | PrologueFragment | PrologueDone


class SessionSnapshot(Frame):
    """All that was told so far, in one or more parts: every version of every turn, in order."""

    type: Literal["session.snapshot"] = "session.snapshot"
    turns: list[TurnSnapshot]
    prologue: list[PrologueEntry]
    answered: dict[str, str] = {}
    paused: bool = False
    part: int = 1
    parts: int = 1


class ModelStatus(Frame):
    """Honest: bytes really read, times really measured. `ready` only while a seat is held; `full`: the
    listener waits in the queue. `eta_s` before the first byte comes from earlier real starts."""

    type: Literal["model.status"] = "model.status"
    name: str
    state: ModelStateName
    loaded_bytes: int | None = None
    total_bytes: int | None = None
    eta_s: Estimate | None = None
    message: str | None = None


class Queue(Frame):
    """The house is full. `place` counts from 1; `eta_s` is estimated from how long others really took."""

    type: Literal["queue"] = "queue"
    place: int
    eta_s: Estimate | None = None


class TurnStarted(Frame):
    type: Literal["turn.started"] = "turn.started"
    turn_id: str
    version: int
    source: Literal["model", "faq"]


class TurnDelta(Frame):
    type: Literal["turn.delta"] = "turn.delta"
    turn_id: str
    version: int
    offset: int
    text: str


class TurnSuggestions(Frame):
    type: Literal["turn.suggestions"] = "turn.suggestions"
    turn_id: str
    suggestions: list[str]


class Usage(Frame):
    """Tokens of a reply. The context is finite, and a cold environment reads for 30 s at most: then the
    oldest turns are left out."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    kv_reused_tokens: int = 0  # of the prompt, computed in an earlier turn or with the bundle
    kv_lost_tokens: int = 0  # known, but of no use for this prompt
    dropped_turns: int = 0  # of the story, oldest first, that this reply was told without


class Metrics(Frame):
    """Seconds are measured; cost is the price of those seconds on Lambda, by `session/prices.toml`."""

    cold_start_s: float | None = None  # waking the model, when this reply had to wait for it
    prefill_s: float = 0.0
    ttft_s: float = 0.0  # from the turn's start in the model function to its first token
    decode_s: float = 0.0
    decode_tokens_per_s: float = 0.0
    total_s: float = 0.0
    cost_usd: float = 0.0
    energy_wh: float = 0.0


class Saved(Frame):
    """What the model would have taken for a turn that the FAQ answered, less what the search took."""

    seconds: float = 0.0
    cost_usd: float = 0.0
    energy_wh: float = 0.0


class TurnDone(Frame):
    """The one terminal state of a turn version. `length` lets the client see that no text is missing."""

    type: Literal["turn.done"] = "turn.done"
    turn_id: str
    version: int
    status: TurnStatus
    finish_reason: str
    length: int
    usage: Usage | None = None
    metrics: Metrics | None = None
    saved: Saved | None = None


class TurnRemoved(Frame):
    """The turn was undone, all its versions."""

    type: Literal["turn.removed"] = "turn.removed"
    turn_id: str


class ErrorFrame(Frame):
    type: Literal["error"] = "error"
    code: Code
    message: str
    hint: str
    request_id: str | None = None


class SessionSuperseded(Frame):
    """Another connection resumed this session; this one must not reconnect by itself."""

    type: Literal["session.superseded"] = "session.superseded"
    session_id: str


class SessionRenamed(Frame):
    type: Literal["session.renamed"] = "session.renamed"
    title: str


class SessionDeleted(Frame):
    """Nothing of the session is left; `hello` begins a new one."""

    type: Literal["session.deleted"] = "session.deleted"
    session_id: str


class SessionView(Frame):
    session_id: str
    title: str
    world: str
    created: float
    expires: int


class SessionList(Frame):
    """The subject's stories, newest first."""

    type: Literal["session.list"] = "session.list"
    sessions: list[SessionView]


class SessionExport(Frame):
    """Joined in order, the parts' texts are the file."""

    type: Literal["session.export"] = "session.export"
    format: Literal["markdown", "json"]
    text: str
    part: int = 1
    parts: int = 1


class Pong(Frame):
    """`seq` is how many prologue entries there are by now, so that a client sees a gap."""

    type: Literal["pong"] = "pong"
    seq: int | None = None


ServerFrame = (
    SessionReady
    | SessionSnapshot
    | PrologueEntry
    | ModelStatus
    | Queue
    | TurnStarted
    | TurnDelta
    | TurnSuggestions
    | TurnDone
    | TurnRemoved
    | ErrorFrame
    | SessionSuperseded
    | SessionRenamed
    | SessionDeleted
    | SessionList
    | SessionExport
    | Pong
)

server_frames: TypeAdapter[ServerFrame] = TypeAdapter(
    Annotated[ServerFrame, Field(discriminator="type")], config=ConfigDict(defer_build=True)
)


def parse_server_frame(body: str | bytes) -> ServerFrame:
    """Reads one server frame, as a client does; raises pydantic's ValidationError."""
    return server_frames.validate_json(body)
