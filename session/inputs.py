"""What can happen to a session. Hosts make these; randomness and lookups are already done."""

from dataclasses import dataclass

from session.events import Metrics, TurnStatus, Usage


@dataclass(frozen=True, kw_only=True)
class Resumed:
    """A client said hello with the right key on this connection."""

    connection_id: str


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


@dataclass(frozen=True, kw_only=True)
class Stopped:
    turn_id: str


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


ListenerInput = (
    Resumed | Answered | Skipped | Paused | Said | Stopped | Woken | Pinged | Disconnected | InvokeFailed
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
