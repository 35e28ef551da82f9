"""What a client may send: JSON text frames that name an `action`, and how they are read.

Every frame that changes something may be sent again: the answer is the same. `turn_id`s are made by the
client; `version` says which version of a turn is meant, so that a repeated frame changes nothing twice.
"""

from typing import Annotated, Literal, cast, get_args

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import from_json

from session.errors import Refusal
from session.events import MAX_FRAME_BYTES, ErrorFrame, Frame, Id


class ClientFrame(Frame):
    request_id: Id | None = None


class Hello(ClientFrame):
    """The first frame. With `session_id` and `resume_key` it resumes that session."""

    action: Literal["hello"]
    v: int
    session_id: Id | None = None
    resume_key: str | None = Field(default=None, max_length=128)
    world: Id | None = None
    language: Id | None = None
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
    """Ends a turn. With `seen` (code points), the text ends where the listener's screen stood still.

    With `version`, a stop that comes late never ends a version told since, and one that comes early waits.
    """

    action: Literal["stop"]
    turn_id: Id
    version: int | None = Field(default=None, ge=1)
    seen: int | None = Field(default=None, ge=0)


class TurnRequest(ClientFrame):
    """About the last turn, in the version that the client has of it."""

    turn_id: Id
    version: int = Field(ge=1)


class Continue(TurnRequest):
    """Goes on from the text of a turn that broke off: a new version that begins with it."""

    action: Literal["continue"]


class Retry(TurnRequest):
    """Tells the turn once more: a new version; the earlier ones are kept."""

    action: Literal["retry"]


class Edit(TurnRequest):
    """Says something else instead: a new version."""

    action: Literal["edit"]
    text: str


class NotFaq(TurnRequest):
    """That is not what was asked: the model takes the turn that the FAQ answered."""

    action: Literal["not_faq"]


class Undo(ClientFrame):
    """Removes the last turn, all its versions."""

    action: Literal["undo"]
    turn_id: Id


class SwitchModel(ClientFrame):
    """Another model tells the story from here on."""

    action: Literal["model"]
    name: Id


class SwitchWorld(ClientFrame):
    """Begins a new story in another world on this connection; the old one can be resumed as before."""

    action: Literal["world"]
    name: Id
    language: Id | None = None


class ListSessions(ClientFrame):
    """The stories of this subject; only where the listener is known by one (JWT, IAM)."""

    action: Literal["list"]


class Rename(ClientFrame):
    action: Literal["rename"]
    title: str


class Export(ClientFrame):
    """The whole story as one text, in parts where it is long."""

    action: Literal["export"]
    format: Literal["markdown", "json"] = "markdown"


class Delete(ClientFrame):
    """Forgets the session and everything in it, at once and for good."""

    action: Literal["delete"]


class Wake(ClientFrame):
    """Wakes the model, or tries again after a failed start."""

    action: Literal["wake"]


class Ping(ClientFrame):
    """Keeps the connection, and settles the session: what got lost is found and sent again."""

    action: Literal["ping"]
    session_id: Id | None = None
    turn_id: Id | None = None


# About the story that the connection speaks for.
StoryRequest = (
    Answer
    | Skip
    | Pause
    | Say
    | Stop
    | Continue
    | Retry
    | Edit
    | NotFaq
    | Undo
    | SwitchModel
    | Rename
    | Export
    | Delete
    | Wake
    | Ping
)
ClientMessage = Hello | SwitchWorld | ListSessions | StoryRequest
client_frames: TypeAdapter[ClientMessage] = TypeAdapter(
    Annotated[ClientMessage, Field(discriminator="action")], config=ConfigDict(defer_build=True)
)
_BY_ACTION: dict[str, type[ClientFrame]] = {
    get_args(frame.model_fields["action"].annotation)[0]: frame for frame in get_args(ClientMessage)
}


def actions() -> tuple[str, ...]:
    """Every action that there is."""
    return tuple(_BY_ACTION)


def parse_client_frame(body: str) -> ClientMessage:
    """Reads one client frame; raises Refusal (not_json, unknown_action, invalid_frame, frame_too_large)."""
    if len(body.encode("utf-8", "surrogatepass")) > MAX_FRAME_BYTES:
        raise Refusal("frame_too_large")
    try:
        told = from_json(body)
    except ValueError:
        raise Refusal("not_json") from None
    if not isinstance(told, dict):
        raise Refusal("not_json")
    action = told.get("action")
    if action not in actions():  # perhaps not even a text
        raise Refusal("unknown_action", f"This frame's action is not one of: {', '.join(actions())}.")
    try:
        # By its own model, not by the union of all: a cold start builds the one that it needs.
        return cast(ClientMessage, _BY_ACTION[action].model_validate(told))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise Refusal("invalid_frame", f"In {action!r}, field {field!r}: {first['msg'].lower()}.") from None


def error_frame(refusal: Refusal, request_id: str | None = None) -> ErrorFrame:
    return ErrorFrame(code=refusal.code, message=refusal.message, hint=refusal.hint, request_id=request_id)
