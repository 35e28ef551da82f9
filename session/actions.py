"""What a host must do after a session's new record is stored, in this order."""

from dataclasses import dataclass

from session.events import Frame


@dataclass(frozen=True)
class Post:
    """Post to the session's connection, if it has one."""

    frame: Frame


@dataclass(frozen=True)
class PostTo:
    """Post to this connection (one that the session has left)."""

    connection_id: str
    frame: Frame


@dataclass(frozen=True)
class Invoke:
    """Take a slot of the session's model and invoke its function for this epoch, asynchronously.

    No slot: `HouseFull`. Not taken: `InvokeFailed`."""

    epoch: int


@dataclass(frozen=True)
class PostSnapshot:
    """Read the finished turns, then post the whole story so far."""


@dataclass(frozen=True)
class Erase:
    """Delete everything that the table keeps of the session; the record itself last."""


Action = Post | PostTo | Invoke | PostSnapshot | Erase
