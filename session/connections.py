"""Which session a connection speaks for, and how fast: the connections' part of the store on DynamoDB."""

from session import items
from session.items import values
from session.store import Conflict
from session.table import Refused, Table


class Connections:
    """See `session.store.Store` for what each method promises.

    An item counts all frames of its connection (`frames`), and knows of one second (`mark_s`) how many there
    were before it (`mark_frames`).
    """

    def __init__(self, table: Table) -> None:
        self._table = table

    def bind(
        self, connection_id: str, session_id: str, expires: int, *, instead_of: str | None, now: float
    ) -> None:
        try:
            self._table.update(
                items.connection_key(connection_id),
                UpdateExpression=(
                    "SET session_id = :session, #expires = :expires, "
                    "frames = if_not_exists(frames, :zero), "
                    "mark_s = if_not_exists(mark_s, :zero), "
                    "mark_frames = if_not_exists(mark_frames, :zero)"
                ),
                ConditionExpression=(
                    "attribute_not_exists(pk) OR session_id IN (:session, :old) OR #expires <= :now"
                ),
                ExpressionAttributeNames={"#expires": "expires"},
                ExpressionAttributeValues=values(
                    session=session_id, old=instead_of or session_id, expires=expires, now=now, zero=0
                ),
            )
        except Refused:
            raise Conflict(f"connection {connection_id} speaks for another session") from None

    def session_of(self, connection_id: str, now: float) -> str | None:
        item = self._table.living(items.connection_key(connection_id), now)
        return items.text_in(item, "session_id") if item else None

    def frame(self, connection_id: str, now: float) -> tuple[str, int] | None:
        """One request, and one more for the first frame of another second, which moves the mark. Of several
        first ones, the earliest has the last word, so that a volley is counted whole from then on."""
        key, second = items.connection_key(connection_id), int(now)
        try:
            item = self._table.update(
                key,
                UpdateExpression="SET frames = frames + :one",
                ConditionExpression="#expires > :now",
                ExpressionAttributeNames={"#expires": "expires"},
                ExpressionAttributeValues=values(one=1, now=now),
            )
            frames, known = (int(items.number_in(item, name)) for name in ("frames", "mark_s"))
            if known != second:
                item = self._table.update(
                    key,
                    UpdateExpression="SET mark_s = :second, mark_frames = :before",
                    ConditionExpression="mark_s = :known OR (mark_s = :second AND mark_frames > :before)",
                    ExpressionAttributeValues=values(second=second, before=frames - 1, known=known),
                )
        except Refused as refused:
            if not refused.found or items.expired(refused.found, now):
                return None
            item = refused.found  # an earlier frame of this second has moved the mark
        before = int(items.number_in(item, "mark_frames"))
        return items.text_in(item, "session_id"), max(1, frames - before)

    def unbind(self, connection_id: str) -> None:
        self._table.delete(items.connection_key(connection_id))
