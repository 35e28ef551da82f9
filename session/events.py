"""The wire: every frame that a client or Curtain may send, and nothing else.

JSON text frames of at most 32 KB in either direction. The client names an `action`, the server a `type`.
`docs/asyncapi.yaml` is generated from this module. `offset`s and `length`s count Unicode code points.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from session.errors import Code, Refusal

VERSION = 1
MAX_FRAME_BYTES = 32 * 1024  # API Gateway's frame limit; a larger frame closes the connection with 1009

Id = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.:-]+$")]
TurnStatus = Literal["completed", "stopped", "failed", "incomplete"]
ModelStateName = Literal["cold", "resting", "starting", "loading", "ready", "failed"]


class Frame(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    def wire(self) -> bytes:
        """The frame as it travels: compact JSON in UTF-8, absent fields left out."""
        return self.model_dump_json(exclude_none=True).encode()


# ---- client -> server ------------------------------------------------------------------------------


class ClientFrame(Frame):
    request_id: Id | None = None


class Hello(ClientFrame):
    """The first frame. With `session_id` and `resume_key` it resumes that session."""

    action: Literal["hello"]
    v: int
    session_id: Id | None = None
    resume_key: str | None = Field(default=None, max_length=128)
    world: Id | None = None
    model: Id | None = None


class Answer(ClientFrame):
    """Answers a prologue question, by the id of a choice or in the listener's own words."""

    action: Literal["answer"]
    question_id: Id
    choice: Id | None = None
    text: str | None = None


class Skip(ClientFrame):
    """Skips one question; without `question_id`, all that is left of the prologue's questions."""

    action: Literal["skip"]
    question_id: Id | None = None


class Pause(ClientFrame):
    """Holds the countdown fragments back (or lets them go on); questions never expire anyway."""

    action: Literal["pause"]
    paused: bool = True


class Say(ClientFrame):
    """A turn of the story. `turn_id` is made by the client; sending it again is harmless."""

    action: Literal["say"]
    turn_id: Id
    text: str


class Stop(ClientFrame):
    action: Literal["stop"]
    turn_id: Id


class Wake(ClientFrame):
    """Wakes the model, or tries again after a failed start."""

    action: Literal["wake"]


class Ping(ClientFrame):
    """Keeps the connection, and settles the session: what got lost is found and sent again."""

    action: Literal["ping"]
    session_id: Id | None = None
    turn_id: Id | None = None


ClientMessage = Annotated[
    Hello | Answer | Skip | Pause | Say | Stop | Wake | Ping, Field(discriminator="action")
]


# ---- server -> client ------------------------------------------------------------------------------


class SessionReady(Frame):
    type: Literal["session.ready"] = "session.ready"
    v: int = VERSION
    session_id: str
    resume_key: str | None = None  # told once, when the session is made
    world: str
    model: str
    models: list[str]
    resumed: bool


class TurnSnapshot(Frame):
    turn_id: str
    version: int
    said: str
    text: str
    status: TurnStatus | Literal["waiting", "running"]
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
    """All that was told so far, in one or more parts."""

    type: Literal["session.snapshot"] = "session.snapshot"
    turns: list[TurnSnapshot]
    prologue: list[PrologueEntry]
    answered: dict[str, str] = {}
    paused: bool = False
    part: int = 1
    parts: int = 1


class ModelStatus(Frame):
    """Honest: bytes really read, times really measured. `ready` only while a seat is held."""

    type: Literal["model.status"] = "model.status"
    name: str
    state: ModelStateName
    loaded_bytes: int | None = None
    total_bytes: int | None = None
    eta_s: float | None = None
    message: str | None = None


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


class Pong(Frame):
    """`seq` is how many prologue entries there are by now, so that a client sees a gap."""

    type: Literal["pong"] = "pong"
    seq: int | None = None


ServerFrame = (
    SessionReady
    | SessionSnapshot
    | PrologueEntry
    | ModelStatus
    | TurnStarted
    | TurnDelta
    | TurnSuggestions
    | TurnDone
    | ErrorFrame
    | SessionSuperseded
    | Pong
)

_client: TypeAdapter[ClientMessage] = TypeAdapter(ClientMessage)
_server: TypeAdapter[ServerFrame] = TypeAdapter(Annotated[ServerFrame, Field(discriminator="type")])
ACTIONS = ("hello", "answer", "skip", "pause", "say", "stop", "wake", "ping")


def parse_client_frame(body: str) -> ClientMessage:
    """Reads one client frame; raises Refusal (not_json, unknown_action, invalid_frame, frame_too_large)."""
    if len(body.encode("utf-8", "surrogatepass")) > MAX_FRAME_BYTES:
        raise Refusal("frame_too_large")
    try:
        return _client.validate_json(body)
    except ValidationError as error:
        raise _refusal(error) from None


def parse_server_frame(body: str | bytes) -> ServerFrame:
    """Reads one server frame, as a client does; raises pydantic's ValidationError."""
    return _server.validate_json(body)


def _refusal(error: ValidationError) -> Refusal:
    first = error.errors(include_url=False, include_input=False)[0]
    if first["type"] == "json_invalid" or first["type"] == "dict_type" or not first["loc"]:
        if first["type"].startswith("union_tag"):
            return Refusal("unknown_action", f"This frame's action is not one of: {', '.join(ACTIONS)}.")
        return Refusal("not_json")
    field = ".".join(str(part) for part in first["loc"][1:]) or "?"
    return Refusal("invalid_frame", f"In {first['loc'][0]!r}, field {field!r}: {first['msg'].lower()}.")


def error_frame(refusal: Refusal, request_id: str | None = None) -> ErrorFrame:
    return ErrorFrame(code=refusal.code, message=refusal.message, hint=refusal.hint, request_id=request_id)


def schemas() -> tuple[dict[str, Any], dict[str, Any]]:
    """JSON Schemas of (client frames, server frames)."""
    return _client.json_schema(), _server.json_schema()
