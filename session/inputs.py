"""What can happen to a session. Hosts make these; randomness and lookups are already done."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from session.events import Metrics, ModelStateName, Saved, TurnStatus, Usage
from session.record import Turn


class _Input(BaseModel):
    model_config = ConfigDict(frozen=True, hide_input_in_errors=True, extra="forbid", defer_build=True)


class Resumed(_Input):
    """A client said hello with the right key on this connection.

    Or it said its first hello again: then it may have missed its key, and is told a further one.
    """

    connection_id: str
    payer: str = ""  # who answers for the model seconds from now on, where that is known
    resume_key: str | None = None
    resume_hash: str = ""  # of all keys then, in place of those before


class Answered(_Input):
    question_id: str
    choice: str | None
    text: str | None


class Skipped(_Input):
    question_id: str | None


class Paused(_Input):
    paused: bool


class Said(_Input):
    """A user turn. `faq` is the ready answer if the matcher found one."""

    turn_id: str
    text: str
    seed: int
    faq: str | None = None
    saved: Saved | None = None  # by that answer


class Stopped(_Input):
    turn_id: str
    seen: int | None = None  # code points on the listener's screen
    version: int | None = None  # None: whichever runs


class Retold(_Input):
    """The last turn once more: `turn` is its version `version` as archived, None if there is no such."""

    kind: Literal["retry", "edit", "continue", "not_faq"]
    turn_id: str
    version: int
    seed: int
    turn: Turn | None
    text: str | None = None  # what an edit says instead


class Undone(_Input):
    """`previous` is the newest version of the turn before, None if there is none."""

    turn_id: str
    previous: Turn | None


class ModelChosen(_Input):
    name: str
    state: ModelStateName  # `cold` or `resting`
    typical_s: float | None  # median of its earlier real starts


class Renamed(_Input):
    title: str


class Deleted(_Input):
    pass


class Woken(_Input):
    pass


class Pinged(_Input):
    turn_id: str | None


class Disconnected(_Input):
    """The gateway said so, or a post was answered with 410."""

    connection_id: str


class InvokeFailed(_Input):
    """The model function was refused, failed, or its event grew too old."""

    epoch: int
    message: str
    again: bool = False  # it may well succeed a little later: the next settling tries again


class HouseFull(_Input):
    """No slot was free for this epoch's invocation. `place` None: the queue is full too."""

    epoch: int
    place: int | None
    eta_s: float | None


class Rested(_Input):
    """Nobody is invoked for this epoch: the day's model seconds are spent. `until`: epoch seconds. `own`: the
    listener's share of them, not everybody's."""

    epoch: int
    until: float
    own: bool = False


class Called(_Input):
    """A holder that has finished elsewhere takes the seat of this queued session. Raises SeatLost if nothing
    waits here (any more)."""

    holder: str


ListenerInput = (
    Resumed
    | Answered
    | Skipped
    | Paused
    | Said
    | Stopped
    | Retold
    | Undone
    | ModelChosen
    | Renamed
    | Deleted
    | Woken
    | Pinged
    | Disconnected
    | InvokeFailed
    | HouseFull
    | Rested
    | Called
)


class HolderInput(_Input):
    """Whatever the model function does, it does with the epoch of its seat."""

    epoch: int


class Claimed(HolderInput):
    """An invocation begins."""

    holder: str  # its request id


class Loading(HolderInput):
    loaded_bytes: int
    total_bytes: int
    eta_s: float | None


class Ready(HolderInput):
    seed: int  # for the opening scene, should it begin now


class LoadFailed(HolderInput):
    message: str


class Began(HolderInput):
    """The holder takes the waiting turn."""


class Renewed(HolderInput):
    """The holder is alive, though it has nothing to tell (a long prefill)."""


class Finished(HolderInput):
    turn_id: str
    version: int
    status: TurnStatus
    finish_reason: str
    usage: Usage | None = None
    metrics: Metrics | None = None


class Released(HolderInput):
    """The holder leaves, unless work came since it saw `work_seq`."""

    work_seq: int


Input = ListenerInput | HolderInput
