"""Requests to one DynamoDB table: what botocore leaves to do; its errors by what can be done about them."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError, ConnectionError, HTTPClientError

from session.items import Item, expired
from session.store import StoreBusy

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_MOST_KEYS = 100  # in one BatchGetItem
_MOST_DELETES = 25  # in one BatchWriteItem
_WAITS_S = (0.02, 0.05, 0.1, 0.2, 0.4)
_UNDER_WAY = {"TransactionConflictException", "TransactionConflict", "TransactionInProgressException"}
_BUSY = {
    "ProvisionedThroughputExceededException",
    "ProvisionedThroughputExceeded",
    "ThrottlingException",
    "ThrottlingError",
    "RequestLimitExceeded",
    "InternalServerError",
    "ServiceUnavailable",
}
_REFUSED = {"ConditionalCheckFailedException", "ConditionalCheckFailed"}


class Refused(Exception):
    """A condition did not hold. `found` is the item that it met, empty if there was none."""

    def __init__(self, found: Item | None = None) -> None:
        self.found: Item = found or {}
        super().__init__("the condition did not hold")


class _UnderWay(StoreBusy):
    """A transaction has the item for a moment; botocore does not try that again."""


class Table:
    """Every request raises StoreBusy where the table is throttled or out of reach for longer than
    botocore, or this class, tries again."""

    def __init__(self, client: "DynamoDBClient", name: str) -> None:
        self._client = client
        self._name = name

    def get(self, key: Item) -> Item | None:
        """A strongly consistent read."""
        answer = self._send(self._client.get_item, TableName=self._name, Key=key, ConsistentRead=True)
        found: Item | None = answer.get("Item")
        return found

    def living(self, key: Item, now: float) -> Item | None:
        """The same, unless it has expired."""
        item = self.get(key)
        return None if item is None or expired(item, now) else item

    def get_all(self, keys: Sequence[Item]) -> Iterator[Item]:
        """Those that there are, in no particular order."""
        for start in range(0, len(keys), _MOST_KEYS):
            wanted = {self._name: {"Keys": list(keys[start : start + _MOST_KEYS]), "ConsistentRead": True}}
            for answer in self._in_batches(self._client.batch_get_item, wanted, "UnprocessedKeys"):
                yield from answer["Responses"].get(self._name, [])

    def below(self, pk: str, sk_prefix: str, *, keys_only: bool = False) -> Iterator[Item]:
        """A partition's items whose sort keys begin so, in order; strongly consistent."""
        arguments: dict[str, Any] = {
            "TableName": self._name,
            "KeyConditionExpression": "pk = :pk AND begins_with(sk, :sk)",
            "ExpressionAttributeValues": {":pk": {"S": pk}, ":sk": {"S": sk_prefix}},
            "ConsistentRead": True,
        }
        if keys_only:
            arguments["ProjectionExpression"] = "pk, sk"
        while True:
            page = self._send(self._client.query, **arguments)
            yield from page["Items"]
            if "LastEvaluatedKey" not in page:
                return
            arguments["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    def put(self, **put: Any) -> None:
        """Raises Refused."""
        self._send(
            self._client.put_item,
            TableName=self._name,
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
            **put,
        )

    def update(self, key: Item, **update: Any) -> Item:
        """The item after the update. Raises Refused."""
        answer = self._send(
            self._client.update_item,
            TableName=self._name,
            Key=key,
            ReturnValues="ALL_NEW",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
            **update,
        )
        item: Item = answer["Attributes"]
        return item

    def delete(self, key: Item, **condition: Any) -> None:
        """Raises Refused."""
        self._send(self._client.delete_item, TableName=self._name, Key=key, **condition)

    def delete_all(self, keys: Iterable[Item]) -> None:
        rest = [{"DeleteRequest": {"Key": key}} for key in keys]
        for start in range(0, len(rest), _MOST_DELETES):
            wanted = {self._name: rest[start : start + _MOST_DELETES]}
            for _ in self._in_batches(self._client.batch_write_item, wanted, "UnprocessedItems"):
                pass

    def transact(self, first: dict[str, Any], *others: dict[str, Any], token: str) -> None:
        """All of the writes or none (DynamoDB takes 100). Raises Refused with what the first condition met.

        `token`: DynamoDB knows a repeated request by it (for ten minutes) and does not write twice.
        """
        writes = []
        for write in (first, *others):
            ((kind, arguments),) = write.items()
            writes.append({kind: {"TableName": self._name, **arguments}})
        ((_, condition),) = writes[0].items()
        condition["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
        self._send(self._client.transact_write_items, TransactItems=writes, ClientRequestToken=token)

    def _in_batches(
        self, operation: Callable[..., Any], wanted: dict[str, Any], left: str
    ) -> Iterator[dict[str, Any]]:
        """Sends it, and what DynamoDB left undone of it again."""
        for wait_s in (0.0, *_WAITS_S):
            time.sleep(wait_s)
            answer = self._send(operation, RequestItems=wanted)
            yield answer
            wanted = answer.get(left, {})
            if not wanted:
                return
        raise StoreBusy(f"the table {self._name!r} left a part of a batch undone, several times")

    def _send(self, operation: Callable[..., Any], **arguments: Any) -> dict[str, Any]:
        for wait_s in _WAITS_S:
            try:
                return self._send_once(operation, arguments)
            except _UnderWay:
                time.sleep(wait_s)
        return self._send_once(operation, arguments)

    def _send_once(self, operation: Callable[..., Any], arguments: dict[str, Any]) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = operation(**arguments)
        except ClientError as error:
            codes = _codes(error)
            if codes & _REFUSED:
                raise Refused(_found(error)) from None
            if codes & _UNDER_WAY:
                raise _UnderWay(f"another transaction on the table {self._name!r} is under way") from error
            if codes & _BUSY:
                raise StoreBusy(f"the table {self._name!r} is busy: {error}") from error
            raise
        except (ConnectionError, HTTPClientError) as error:
            raise StoreBusy(f"the table {self._name!r} did not answer: {error}") from error
        return answer


def _codes(error: ClientError) -> set[str]:
    """What went wrong; of a cancelled transaction, with all of its writes."""
    answer: dict[str, Any] = dict(error.response)
    reasons = answer.get("CancellationReasons", [])
    return {answer.get("Error", {}).get("Code", ""), *(reason.get("Code", "") for reason in reasons)}


def _found(error: ClientError) -> Item | None:
    answer: dict[str, Any] = dict(error.response)
    reasons = answer.get("CancellationReasons", [{}])
    item: Item | None = answer.get("Item") or reasons[0].get("Item")
    return item
