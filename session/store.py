"""Where sessions are kept: the interface, and the promises that the rules rest on."""

from collections.abc import Sequence
from typing import Protocol

from session.house import House
from session.record import Session, Turn


class Conflict(Exception):
    """Somebody wrote the record in between: load it again and start over."""


class StoreBusy(Exception):
    """The table is throttled or out of reach, and repeating the request did not help.

    Whether a write arrived is not known, and need not be: every frame, and every delta as it was (the same
    offset and text), can be repeated, because what was stored already is recognised. So hosts answer
    `internal`, and a holder tries again until its deadline.
    """


class Store(Protocol):
    """A table with strongly consistent reads and conditional writes. Every method may raise StoreBusy.

    Expired items are as good as gone, even where the table has not deleted them yet. A session's `expires` is
    set when it is made and never changed: its turns, and its entry in the subject's list, expire with it.
    """

    def load(self, session_id: str, now: float) -> Session | None:
        """The head item as it is now (a strongly consistent read). One that is `deleted` is returned as
        well, so that its erasure can be repeated."""
        ...

    def commit(
        self, session: Session, archive: Sequence[Turn] = (), remove: Sequence[tuple[int, int]] = ()
    ) -> Session:
        """Stores the record, and the turns that it finished or removes (number, version), all or nothing: at
        most 99 of them, which is what DynamoDB takes (limits.toml allows a turn fewer versions).

        The condition: the stored `rev` is still `session.rev` (0: there is none yet). Returns the record as
        stored, with the next `rev`. Raises Conflict. A write that is repeated because its answer was lost
        succeeds as if it were the first.
        """
        ...

    def append_delta(self, session: Session, *, offset: int, text: str, seat_expires: float) -> Session:
        """The one write per delta: appends `text` to the live turn and renews the seat.

        Conditional on epoch and holder of the seat, on the live turn's id and version, and on `offset` being
        the stored length. Returns the record after the write, so that the writer learns of a stop, of new
        work and of the connection to post to. Raises SeatLost if the condition fails, as it does for a
        deleted session. Repeated with the same text, it succeeds as if it were the first.
        """
        ...

    def turns(self, session_id: str, now: float) -> list[Turn]:
        """The finished turns, every version of them, oldest first; expired ones are left out."""
        ...

    def erase(self, session: Session) -> None:
        """Deletes the session's turns and its entry in the subject's list; the record last, so that an
        erasure that was cut short can be repeated. Repeating a whole one is harmless. The connection keeps
        the id, and nothing else, until it ends: by it a repeated `delete` is answered as the first was."""
        ...

    def bind(
        self, connection_id: str, session_id: str, expires: int, *, instead_of: str | None, now: float
    ) -> None:
        """The connection speaks for this session from now on. Raises Conflict if it speaks for another one
        than `instead_of` (None: for none). An expired binding is none; binding the same again is fine."""
        ...

    def session_of(self, connection_id: str, now: float) -> str | None:
        """The session that the connection speaks for."""
        ...

    def frame(self, connection_id: str, now: float) -> tuple[str, int] | None:
        """Counts a frame: the session that the connection speaks for, and the frames of this second, this
        one included. None if it speaks for none. Seconds are those of `now`: whole ones, not any 1 s."""
        ...

    def unbind(self, connection_id: str) -> None:
        """The connection is gone."""
        ...

    def load_house(self, model_name: str) -> House:
        """The model's house as it is now; an empty one if nobody has been there yet. It never expires: there
        is one per model, and what it has measured is worth keeping."""
        ...

    def commit_house(self, house: House) -> House:
        """Stores it if the stored `rev` is still `house.rev`; returns it with the next. Raises Conflict."""
        ...

    def count_session(self, address: str, now: float) -> int:
        """Counts a story begun from this address: how many that makes today (UTC). The address is stored as a
        hash that changes daily, for two days. A repeated request may count twice."""
        ...

    def spend(self, purses: Sequence[str], seconds: float, now: float) -> None:
        """Adds model seconds to what each purse has spent today (UTC). Kept for two days. A repeated request
        may count twice; one that fails may have counted for some of them."""
        ...

    def spent(self, purses: Sequence[str], now: float) -> list[float]:
        """What each purse has spent today, in their order (at most 100 of them; strongly consistent)."""
        ...

    def sessions_of(self, subject: str, now: float) -> list[Session]:
        """The subject's sessions, newest first, without those that expired or are being deleted."""
        ...


class Admissions(Protocol):
    """The same table, for whoever lets listeners in. Both methods may raise StoreBusy."""

    def use_ticket(self, ticket_id: str, expires: int, now: float) -> bool:
        """Marks a ticket as used; False if it was used before. The mark is kept until `expires`, which has to
        be later than the ticket is good."""
        ...

    def count(self, what: str, window_s: int, now: float, *, by: int = 1) -> int:
        """Counts something in the present window of so many seconds: how much that makes, this included. All
        counters of one window begin anew together. A repeated request may count twice."""
        ...
