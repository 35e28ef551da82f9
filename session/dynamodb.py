"""The store on DynamoDB: one table, one partition per session.

| pk | sk | item |
|---|---|---|
| `session#ID` | `head` | the record, `rev` its version |
| `session#ID` | `turn#NUMBER#VERSION` | a finished turn |
| `connection#ID` | `head` | which session a connection speaks for |
| `model#NAME` | `head` | when the model was last awake |
"""

import json
import time
import uuid
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.exceptions import ClientError
from pydantic import BaseModel

from session.record import Session, Turn
from session.step import SeatLost
from session.store import Conflict

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import UpdateItemOutputTypeDef

Item = dict[str, Any]
_REFUSALS = (
    "ConditionalCheckFailedException",
    "TransactionCanceledException",
    "TransactionConflictException",
)
_encode = TypeSerializer().serialize
_decode = TypeDeserializer().deserialize


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


class DynamoStore:
    """See `session.store.Store` for what each method promises."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def load(self, session_id: str, now: float) -> Session | None:
        item = self._get(f"session#{session_id}", now)
        return _session(item) if item else None

    def commit(self, session: Session, archive: Sequence[Turn] = ()) -> Session:
        stored = session.model_copy(update={"rev": session.rev + 1})
        write_id = uuid.uuid4().hex
        head: dict[str, Any] = {
            "TableName": self._table,
            "Item": _item(_head_key(session.session_id), _plain(stored) | {"write_id": write_id}),
            "ConditionExpression": "#rev = :rev" if session.rev else "attribute_not_exists(pk)",
        }
        if session.rev:
            head["ExpressionAttributeNames"] = {"#rev": "rev"}
            head["ExpressionAttributeValues"] = {":rev": _encode(session.rev)}
        turns = [{"TableName": self._table, "Item": self._turn_item(session, turn)} for turn in archive]
        try:
            if turns:
                # boto3 adds the ClientRequestToken that makes a repeated transaction harmless.
                puts = cast(Any, [{"Put": put} for put in (head, *turns)])
                self._client.transact_write_items(TransactItems=puts)
            else:
                self._client.put_item(**head, ReturnValuesOnConditionCheckFailure="ALL_OLD")
        except ClientError as error:
            if _code(error) not in _REFUSALS:
                raise
            # The client repeats a request whose answer was lost: then the write in the table is our own.
            found = _found(error)
            if found.get("write_id") != {"S": write_id}:
                raise Conflict(session.session_id) from None
        return stored

    def append_delta(self, session: Session, *, offset: int, text: str, seat_expires: float) -> Session:
        live, seat = session.live, session.seat
        assert live is not None
        names = [
            "live",
            "chunks",
            "length",
            "turn_id",
            "version",
            "seat",
            "epoch",
            "holder",
            "expires",
            "rev",
        ]
        values = {
            ":chunk": [text],
            ":chars": len(text),
            ":offset": offset,
            ":expires": _number(seat_expires),
            ":epoch": seat.epoch,
            ":holder": seat.holder,
            ":turn": live.turn_id,
            ":version": live.version,
            ":one": 1,
        }
        try:
            answer = self._update(
                Key=_head_key(session.session_id),
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
                ExpressionAttributeValues={key: _encode(value) for key, value in values.items()},
                ReturnValues="ALL_NEW",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except ClientError as error:
            if _code(error) != "ConditionalCheckFailedException":
                raise
            found = _found(error)
            if found and _is_own_delta(_session(found), session, offset, text):
                return _session(found)  # our own write, repeated by the client
            raise SeatLost(f"delta at {offset} of turn {live.turn_id} was refused") from None
        return _session(answer["Attributes"])

    def turns(self, session_id: str) -> list[Turn]:
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression="pk = :pk AND begins_with(sk, :turn)",
            ExpressionAttributeValues={":pk": {"S": f"session#{session_id}"}, ":turn": {"S": "turn#"}},
            ConsistentRead=True,
        )
        return [Turn.model_validate(_values(item)) for page in pages for item in page["Items"]]

    def bind(self, connection_id: str, session_id: str, expires: int) -> None:
        key = {"pk": {"S": f"connection#{connection_id}"}, "sk": {"S": "head"}}
        item = _item(key, {"session_id": session_id, "expires": expires})
        self._client.put_item(TableName=self._table, Item=item)

    def session_of(self, connection_id: str, now: float) -> str | None:
        item = self._get(f"connection#{connection_id}", now)
        return item["session_id"]["S"] if item else None

    def unbind(self, connection_id: str) -> None:
        key = {"pk": {"S": f"connection#{connection_id}"}, "sk": {"S": "head"}}
        self._client.delete_item(TableName=self._table, Key=key)

    def note_model(self, name: str, now: float) -> None:
        key = {"pk": {"S": f"model#{name}"}, "sk": {"S": "head"}}
        self._client.put_item(TableName=self._table, Item=_item(key, {"seen": _number(now)}))

    def model_seen(self, name: str) -> float:
        item = self._get(f"model#{name}", now=0.0)
        return float(item["seen"]["N"]) if item else 0.0

    def _update(self, **arguments: Any) -> "UpdateItemOutputTypeDef":
        """UpdateItem, repeated while a transaction on the item is under way (boto3 does not)."""
        for wait in (0.02, 0.05, 0.1, 0.2):
            try:
                return self._client.update_item(TableName=self._table, **arguments)
            except ClientError as error:
                if _code(error) != "TransactionConflictException":
                    raise
            time.sleep(wait)
        return self._client.update_item(TableName=self._table, **arguments)

    def _get(self, pk: str, now: float) -> Item | None:
        answer = self._client.get_item(
            TableName=self._table, Key={"pk": {"S": pk}, "sk": {"S": "head"}}, ConsistentRead=True
        )
        item = answer.get("Item")
        if item is None or ("expires" in item and float(item["expires"]["N"]) <= now):
            return None
        return item

    def _turn_item(self, session: Session, turn: Turn) -> Item:
        key = {
            "pk": {"S": f"session#{session.session_id}"},
            "sk": {"S": f"turn#{turn.number:06d}#{turn.version:03d}"},
        }
        return _item(key, _plain(turn) | {"expires": session.expires})


def _is_own_delta(found: Session, sent: Session, offset: int, text: str) -> bool:
    live, mine = found.live, sent.live
    return (
        live is not None
        and mine is not None
        and (found.seat.epoch, found.seat.holder) == (sent.seat.epoch, sent.seat.holder)
        and (live.turn_id, live.version) == (mine.turn_id, mine.version)
        and live.text[offset:] == text
    )


def _head_key(session_id: str) -> Item:
    return {"pk": {"S": f"session#{session_id}"}, "sk": {"S": "head"}}


def _plain(record: BaseModel) -> dict[str, Any]:
    return cast(dict[str, Any], json.loads(record.model_dump_json(), parse_float=Decimal))


def _number(value: float) -> Decimal:
    return Decimal(repr(value))


def _item(key: Item, values: Mapping[str, Any]) -> Item:
    return key | {name: _encode(value) for name, value in values.items()}


def _values(item: Mapping[str, Any]) -> dict[str, Any]:
    plain = {name: _decode(value) for name, value in item.items()}
    return cast(dict[str, Any], json.loads(json.dumps(plain, default=float)))


def _session(item: Mapping[str, Any]) -> Session:
    return Session.model_validate(_values(item))


def _found(error: ClientError) -> Item:
    """The item that a failed condition met; a failed transaction does not tell it."""
    return cast(Item, error.response.get("Item", {}))


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
