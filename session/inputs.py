"""What can happen to a session. Hosts make these; randomness and lookups are already done."""

from dataclasses import dataclass
from typing import Literal

from session.events import Metrics, ModelStateName, Saved, TurnStatus, Usage
from session.record import Turn


@dataclass(frozen=True, kw_only=True)
class Resumed:
    """A client said hello with the right key on this connection.

    Or it said its first hello again: then it may have missed its key, and is told a further one.
    """

    connection_id: str
    payer: str = ""  # who answers for the model seconds from now on, where that is known
    resume_key: str | None = None
    resume_hash: str = ""  # of all keys then, in place of those before


@dataclass(frozen=True, kw_only=True)
class Answered:
    question_id: str
    choice: str | None
    text: str | None


@dataclass(frozen=True, kw_only=True)
class Skipped:
    question_id: str | None


@dataclass(frozen=True, kw_only=True)
class Paused:
    paused: bool


@dataclass(frozen=True, kw_only=True)
class Said:
    """A user turn. `faq` is the ready answer if the matcher found one."""

    turn_id: str
    text: str
    seed: int
    faq: str | None = None
    saved: Saved | None = None  # by that answer


@dataclass(frozen=True, kw_only=True)
class Stopped:
    turn_id: str
    seen: int | None = None  # code points on the listener's screen
    version: int | None = None  # None: whichever runs


@dataclass(frozen=True, kw_only=True)
class Retold:
    """The last turn once more: `turn` is its version `version` as archived, None if there is no such."""

    kind: Literal["retry", "edit", "continue", "not_faq"]
    turn_id: str
    version: int
    seed: int
    turn: Turn | None
    text: str | None = None  # what an edit says instead


@dataclass(frozen=True, kw_only=True)
class Undone:
    """`previous` is the newest version of the turn before, None if there is none."""

    turn_id: str
    previous: Turn | None


@dataclass(frozen=True, kw_only=True)
class ModelChosen:
    name: str
    state: ModelStateName  # `cold` or `resting`
    typical_s: float | None  # median of its earlier real starts


@dataclass(frozen=True, kw_only=True)
class Renamed:
    title: str


@dataclass(frozen=True, kw_only=True)
class Deleted:
    pass


@dataclass(frozen=True, kw_only=True)
class Woken:
    pass


@dataclass(frozen=True, kw_only=True)
class Pinged:
    turn_id: str | None


@dataclass(frozen=True, kw_only=True)
class Disconnected:
    """The gateway said so, or a post was answered with 410."""

    connection_id: str


@dataclass(frozen=True, kw_only=True)
class InvokeFailed:
    """The model function was refused, failed, or its event grew too old."""

    epoch: int
    message: str
    again: bool = False  # it may well succeed a little later: the next settling tries again


@dataclass(frozen=True, kw_only=True)
class HouseFull:
    """No slot was free for this epoch's invocation. `place` None: the queue is full too."""

    epoch: int
    place: int | None
    eta_s: float | None


@dataclass(frozen=True, kw_only=True)
class Rested:
    """Nobody is invoked for this epoch: the day's model seconds are spent. `until`: epoch seconds. `own`: the
    listener's share of them, not everybody's."""

    epoch: int
    until: float
    own: bool = False


@dataclass(frozen=True, kw_only=True)
class Called:
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


@dataclass(frozen=True, kw_only=True)
class HolderInput:
    """Whatever the model function does, it does with the epoch of its seat."""

    epoch: int


@dataclass(frozen=True, kw_only=True)
class Claimed(HolderInput):
    """An invocation begins."""

    holder: str  # its request id


@dataclass(frozen=True, kw_only=True)
class Loading(HolderInput):
    loaded_bytes: int
    total_bytes: int
    eta_s: float | None


@dataclass(frozen=True, kw_only=True)
class Ready(HolderInput):
    seed: int  # for the opening scene, should it begin now


@dataclass(frozen=True, kw_only=True)
class LoadFailed(HolderInput):
    message: str


@dataclass(frozen=True, kw_only=True)
class Began(HolderInput):
    """The holder takes the waiting turn."""


@dataclass(frozen=True, kw_only=True)
class Renewed(HolderInput):
    """The holder is alive, though it has nothing to tell (a long prefill)."""


@dataclass(frozen=True, kw_only=True)
class Finished(HolderInput):
    turn_id: str
    version: int
    status: TurnStatus
    finish_reason: str
    usage: Usage | None = None
    metrics: Metrics | None = None


@dataclass(frozen=True, kw_only=True)
class Released(HolderInput):
    """The holder leaves, unless work came since it saw `work_seq`."""

    work_seq: int


Input = ListenerInput | HolderInput
