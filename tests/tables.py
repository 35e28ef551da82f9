"""What the store's tests share: tables to talk to, and records to keep in them."""

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import ConnectionClosedError

from session.dynamodb import DynamoStore
from session.record import LiveTurn, Phase, Seat, Session, Turn

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

FOREVER = 9_999_999_999
TABLE = "sessions"


def dynamodb(endpoint: str | None = None) -> "DynamoDBClient":
    return boto3.client(
        "dynamodb",
        region_name="us-east-1",
        endpoint_url=endpoint,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(max_pool_connections=20),
    )


def one_at_a_time(client: "DynamoDBClient") -> "DynamoDBClient":
    """moto checks a condition and writes in two steps that threads can come between; DynamoDB in one."""
    raw: Any = client
    lock, once = threading.RLock(), raw._make_api_call

    def call(*arguments: Any) -> Any:
        with lock:
            return once(*arguments)

    raw._make_api_call = call
    return client


def lose_answers(client: Any, operation: str, times: int = 1) -> list[bytes]:
    """The table does what it is asked to, but the first answers never arrive: boto3 sends the request again.
    Returns the bodies that are sent from now on."""
    endpoint, sent = client._endpoint, []
    once = endpoint._get_response

    def get_response(request: Any, model: Any, context: Any) -> Any:
        answer = once(request, model, context)
        if model.name != operation:
            return answer
        sent.append(request.body)
        return answer if len(sent) > times else (None, ConnectionClosedError(endpoint_url=request.url))

    endpoint._get_response = get_response
    return sent


def item_bytes(item: Mapping[str, Any]) -> int:
    """What an item weighs by DynamoDB's rules, numbers rounded up."""
    return sum(len(name.encode()) + _weight(value) for name, value in item.items())


def _weight(value: Mapping[str, Any]) -> int:
    ((kind, content),) = value.items()
    match kind:
        case "S":
            return len(content.encode())
        case "N":
            return len(content) // 2 + 2
        case "L":
            return 3 + sum(1 + _weight(each) for each in content)
        case "M":
            return 3 + sum(1 + len(name.encode()) + _weight(each) for name, each in content.items())
        case "BOOL" | "NULL":
            return 1
    raise ValueError(f"no attribute of ours is of kind {kind}")


def client_of(store: DynamoStore) -> Any:
    return store._table._client


def turn(number: int, text: str = "Once.", version: int = 1) -> Turn:
    return Turn(
        number=number,
        turn_id=f"t{number}",
        version=version,
        said="",
        text=text,
        status="completed",
        finish_reason="stop",
        source="model",
        created=1.5,
    )


def telling(session: Session) -> Session:
    return session.model_copy(
        update={
            "phase": Phase.STORY,
            "seat": Seat(epoch=3, holder="r1", expires=100.5),
            "live": LiveTurn(turn_id="t", number=0, said="Go.", seed=1, status="running", created=1.0),
        }
    )
