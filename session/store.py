"""Where sessions are kept: the interface, and the promises that the rules rest on."""

from collections.abc import Sequence
from typing import Protocol

from session.record import Session, Turn


class Conflict(Exception):
    """Somebody wrote the record in between: load it again and start over."""


class Store(Protocol):
    """A table with strongly consistent reads and conditional writes.

    Expired items are as good as gone, even where the table has not deleted them yet.
    """

    def load(self, session_id: str, now: float) -> Session | None:
        """The head item as it is now (a strongly consistent read)."""
        ...

    def commit(self, session: Session, archive: Sequence[Turn] = ()) -> Session:
        """Stores the record, and the turns that it finished, all or nothing.

        The condition: the stored `rev` is still `session.rev` (0: there is none yet). Returns the record as
        stored, with the next `rev`. Raises Conflict.
        """
        ...

    def append_delta(self, session: Session, *, offset: int, text: str, seat_expires: float) -> Session:
        """The one write per delta: appends `text` to the live turn and renews the seat.

        Conditional on epoch and holder of the seat, on the live turn's id and version, and on `offset` being
        the stored length. Returns the record after the write, so that the writer learns of a stop, of new
        work and of the connection to post to. Raises SeatLost if the condition fails.
        """
        ...

    def turns(self, session_id: str) -> list[Turn]:
        """The finished turns, oldest first."""
        ...

    def bind(self, connection_id: str, session_id: str, expires: int) -> None: ...

    def session_of(self, connection_id: str, now: float) -> str | None: ...

    def unbind(self, connection_id: str) -> None: ...

    def note_model(self, name: str, now: float) -> None:
        """An environment with this model loaded was awake at `now`."""
        ...

    def model_seen(self, name: str) -> float:
        """When `note_model` was last called for it; 0.0 if never."""
        ...
