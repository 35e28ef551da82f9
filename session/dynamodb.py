"""The store on DynamoDB: one table, one partition per session (`session/items.py` has the items).

Every condition is one that DynamoDB checks together with its write. A write whose answer was lost may be sent
twice, by botocore or by the caller: the second one meets the first one's mark and counts as done.
"""

import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from session import items
from session.admissions import AdmissionsTable
from session.connections import Connections
from session.house import House
from session.items import values
from session.purses import Purses
from session.record import Session, Turn
from session.step import SeatLost
from session.store import Conflict
from session.table import Refused, Table

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


def table_definition(name: str) -> dict[str, Any]:
    """Arguments of CreateTable (the cloud's table is made by `infra/` with the same keys)."""
    return {
        "TableName": name,
        "KeySchema": [
            {"AttributeName": "pk", "KeyType": "HASH"},
            {"AttributeName": "sk", "KeyType": "RANGE"},
        ],
        "AttributeDefinitions": [
            {"AttributeName": "pk", "AttributeType": "S"},
            {"AttributeName": "sk", "AttributeType": "S"},
        ],
        "BillingMode": "PAY_PER_REQUEST",
    }


class DynamoStore(Connections, AdmissionsTable, Purses):
    """See `session.store.Store` and `Admissions` there for what each method promises."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        super().__init__(Table(client, table))

    # ---- sessions ----

    def load(self, session_id: str, now: float) -> Session | None:
        item = self._table.living(items.session_key(session_id), now)
        return items.session_from(item) if item else None

    def commit(
        self, session: Session, archive: Sequence[Turn] = (), remove: Sequence[tuple[int, int]] = ()
    ) -> Session:
        stored = session.model_copy(update={"rev": session.rev + 1})
        write_id = uuid.uuid4().hex
        head = {"Item": items.session_item(stored, write_id), **_still(session.rev)}
        puts = [items.turn_item(session, turn) for turn in archive]
        if session.rev == 0 and session.subject is not None:
            puts.append(items.entry_item(session.subject, session))
        keys = [items.turn_key(session.session_id, *turn) for turn in remove]
        try:
            if not puts and not keys:
                self._table.put(**head)
            else:
                others = [{"Put": {"Item": item}} for item in puts]
                others += [{"Delete": {"Key": key}} for key in keys]
                self._table.transact({"Put": head}, *others, token=write_id)
        except Refused as refused:
            if refused.found.get("write_id") != {"S": write_id}:
                raise Conflict(session.session_id) from None
        return stored

    def append_delta(self, session: Session, *, offset: int, text: str, seat_expires: float) -> Session:
        live, seat = session.live, session.seat
        assert live is not None
        names = (
            *("live", "chunks", "length", "turn_id", "version"),
            *("seat", "epoch", "holder", "expires", "rev"),
        )
        try:
            item = self._table.update(
                items.session_key(session.session_id),
                UpdateExpression=(
                    "SET #live.#chunks = list_append(#live.#chunks, :chunk), "
                    "#live.#length = #live.#length + :chars, "
                    "#seat.#expires = :expires, #rev = #rev + :one"
                ),
                ConditionExpression=(
                    "#seat.#epoch = :epoch AND #seat.#holder = :holder AND #live.#turn_id = :turn "
                    "AND #live.#version = :version AND #live.#length = :offset"
                ),
                ExpressionAttributeNames={f"#{name}": name for name in names},
                ExpressionAttributeValues=values(
                    chunk=[text],
                    chars=len(text),
                    offset=offset,
                    expires=seat_expires,
                    epoch=seat.epoch,
                    holder=seat.holder,
                    turn=live.turn_id,
                    version=live.version,
                    one=1,
                ),
            )
        except Refused as refused:
            found = items.session_from(refused.found) if refused.found else None
            if found is None or not _is_own_delta(found, session, offset, text):
                raise SeatLost(f"delta at {offset} of turn {live.turn_id} was refused") from None
            return found
        return items.session_from(item)

    def turns(self, session_id: str, now: float) -> list[Turn]:
        found = self._table.below(f"session#{session_id}", items.TURN)
        return [items.turn_from(item) for item in found if not items.expired(item, now)]

    def erase(self, session: Session) -> None:
        found = self._table.below(f"session#{session.session_id}", items.TURN, keys_only=True)
        self._table.delete_all(found)
        if session.subject is not None:
            self._table.delete(items.entry_key(session.subject, session.session_id))
        self._table.delete(items.session_key(session.session_id))

    def sessions_of(self, subject: str, now: float) -> list[Session]:
        entries = self._table.below(f"subject#{subject}", items.SESSION, keys_only=True)
        ids = [items.text_in(entry, "sk").removeprefix(items.SESSION) for entry in entries]
        heads = self._table.get_all([items.session_key(session_id) for session_id in ids])
        living = [items.session_from(head) for head in heads if not items.expired(head, now)]
        return sorted(
            (session for session in living if not session.deleted),
            key=lambda session: (session.created, session.session_id),
            reverse=True,
        )

    # ---- houses and addresses ----

    def load_house(self, model_name: str) -> House:
        item = self._table.get(items.house_key(model_name))
        return items.house_from(item) if item else House(model_name=model_name)

    def commit_house(self, house: House) -> House:
        stored = house.model_copy(update={"rev": house.rev + 1})
        write_id = uuid.uuid4().hex
        try:
            self._table.put(Item=items.house_item(stored, write_id), **_still(house.rev))
        except Refused as refused:
            if refused.found.get("write_id") != {"S": write_id}:
                raise Conflict(f"house of {house.model_name}") from None
        return stored

    def count_session(self, address: str, now: float) -> int:
        item = self._table.update(
            items.address_key(address, now),
            UpdateExpression="SET #expires = :expires ADD stories :one",
            ExpressionAttributeNames={"#expires": "expires"},
            ExpressionAttributeValues=values(one=1, expires=items.address_expires(now)),
        )
        return int(items.number_in(item, "stories"))


def _still(rev: int) -> dict[str, Any]:
    """The condition that nobody wrote since `rev`."""
    if rev == 0:
        return {"ConditionExpression": "attribute_not_exists(pk)"}
    return {
        "ConditionExpression": "#rev = :rev",
        "ExpressionAttributeNames": {"#rev": "rev"},
        "ExpressionAttributeValues": values(rev=rev),
    }


def _is_own_delta(found: Session, sent: Session, offset: int, text: str) -> bool:
    live, mine = found.live, sent.live
    return (
        live is not None
        and mine is not None
        and (found.seat.epoch, found.seat.holder) == (sent.seat.epoch, sent.seat.holder)
        and (live.turn_id, live.version) == (mine.turn_id, mine.version)
        and live.length == offset + len(text)
        and live.text[offset:] == text
    )
