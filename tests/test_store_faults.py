"""Lost answers and a busy table: what is sent again is done once, and what cannot be done is said."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from session.dynamodb import DynamoStore
from session.house import ask
from session.record import Session
from session.store import Conflict, StoreBusy
from tests.house import free_port
from tests.tables import FOREVER, TABLE, client_of, dynamodb, lose_answers, telling, turn

pytest_plugins = ["tests.store_fixtures"]


# ---- lost answers: boto3 sends the request again --------------------------------------------------------


def test_a_commit_is_done_once(tabled: DynamoStore, fresh: Session) -> None:
    sent = lose_answers(client_of(tabled), "PutItem", times=2)
    session = tabled.commit(fresh)
    assert len(sent) == 3
    assert session.rev == 1
    assert tabled.load(fresh.session_id, now=0) == session
    with pytest.raises(Conflict):
        tabled.commit(fresh)


def test_a_transaction_is_done_once(tabled: DynamoStore, fresh: Session) -> None:
    """DynamoDB and MiniStack know it by its token, moto by what the record says: either is enough."""
    first = tabled.commit(fresh, [turn(0)])
    sent = lose_answers(client_of(tabled), "TransactWriteItems", times=2)
    second = tabled.commit(first, [turn(1)], remove=[(0, 1)])
    assert len(sent) == 3
    assert len({*sent}) == 1
    assert b"ClientRequestToken" in sent[0]
    assert tabled.load(fresh.session_id, now=0) == second
    assert tabled.turns(fresh.session_id, now=0) == [turn(1)]
    with pytest.raises(Conflict):
        tabled.commit(first, [turn(2)])


def test_a_delta_is_told_once(tabled: DynamoStore, fresh: Session) -> None:
    session = tabled.commit(telling(fresh))
    lose_answers(client_of(tabled), "UpdateItem")
    after = tabled.append_delta(session, offset=0, text="Once", seat_expires=1.0)
    assert after.live is not None
    assert after.live.text == "Once"
    assert tabled.load(fresh.session_id, now=0) == after
    assert tabled.commit(after).rev == after.rev + 1


def test_a_place_is_given_once(tabled: DynamoStore) -> None:
    house, _ = ask(tabled.load_house(uuid.uuid4().hex), "a", 1, 10.0, capacity=1)
    lose_answers(client_of(tabled), "PutItem")
    assert tabled.commit_house(house) == tabled.load_house(house.model_name)


def test_a_connection_is_bound_once(tabled: DynamoStore) -> None:
    connection = uuid.uuid4().hex
    lose_answers(client_of(tabled), "UpdateItem")
    tabled.bind(connection, "s1", FOREVER, instead_of=None, now=0)
    assert tabled.session_of(connection, now=0) == "s1"


def test_a_commit_that_somebody_followed_is_a_conflict(tabled: DynamoStore, fresh: Session) -> None:
    """It was stored, but what it stored is not there any more: the input is applied to what is."""
    client = client_of(tabled)
    once = client._endpoint._get_response

    def follow(request: Any, model: Any, context: Any) -> Any:
        answer = once(request, model, context)
        client._endpoint._get_response = once
        found = tabled.load(fresh.session_id, now=0)
        assert found is not None
        tabled.commit(found.model_copy(update={"work_seq": 7}))
        return answer

    client._endpoint._get_response = follow
    lose_answers(client, "PutItem")
    with pytest.raises(Conflict):
        tabled.commit(fresh)
    found = tabled.load(fresh.session_id, now=0)
    assert found is not None
    assert (found.rev, found.work_seq) == (2, 7)


# ---- a busy table ---------------------------------------------------------------------------------------


@contextmanager
def stubbed() -> Iterator[tuple[DynamoStore, Stubber]]:
    client = dynamodb()
    with Stubber(client) as stubber:
        yield DynamoStore(client, TABLE), stubber
        stubber.assert_no_pending_responses()


def cancelled(*codes: str) -> dict[str, Any]:
    return {
        "service_error_code": "TransactionCanceledException",
        "modeled_fields": {"CancellationReasons": [{"Code": code} for code in codes]},
    }


@pytest.mark.parametrize(
    "code",
    [
        "ProvisionedThroughputExceededException",
        "ThrottlingException",
        "RequestLimitExceeded",
        "InternalServerError",
    ],
)
def test_a_throttled_table_is_busy(fresh: Session, code: str) -> None:
    with stubbed() as (store, stubber):
        stubber.add_client_error("put_item", code)
        with pytest.raises(StoreBusy, match=TABLE):
            store.commit(fresh)
        stubber.add_client_error("get_item", code)
        with pytest.raises(StoreBusy, match=TABLE):
            store.load("s", now=0)


@pytest.mark.parametrize("code", ["ThrottlingError", "ProvisionedThroughputExceeded"])
def test_a_transaction_that_is_throttled_in_a_part_is_busy(fresh: Session, code: str) -> None:
    with stubbed() as (store, stubber):
        stubber.add_client_error("transact_write_items", **cancelled("None", code))
        with pytest.raises(StoreBusy):
            store.commit(fresh, [turn(0)])


def test_a_refused_transaction_is_a_conflict_and_not_busy(fresh: Session) -> None:
    with stubbed() as (store, stubber):
        stubber.add_client_error("transact_write_items", **cancelled("ConditionalCheckFailed", "None"))
        with pytest.raises(Conflict):
            store.commit(fresh, [turn(0)])


def test_a_write_waits_for_a_transaction_that_is_under_way(fresh: Session) -> None:
    with stubbed() as (store, stubber):
        stubber.add_client_error("put_item", "TransactionConflictException")
        stubber.add_response("put_item", {})
        assert store.commit(fresh).rev == 1
        stubber.add_client_error("transact_write_items", **cancelled("TransactionConflict", "None"))
        stubber.add_client_error("transact_write_items", "TransactionInProgressException")
        stubber.add_response("transact_write_items", {})
        assert store.commit(fresh, [turn(0)]).rev == 1


def test_a_transaction_that_never_ends_is_busy(fresh: Session) -> None:
    with stubbed() as (store, stubber):
        for _ in range(6):
            stubber.add_client_error("put_item", "TransactionConflictException")
        with pytest.raises(StoreBusy):
            store.commit(fresh)


def test_what_a_batch_left_undone_is_asked_for_again(fresh: Session) -> None:
    turns = [{"pk": {"S": "session#s"}, "sk": {"S": f"turn#00000{n}#000001"}} for n in range(2)]
    first, second = ({TABLE: [{"DeleteRequest": {"Key": key}}]} for key in turns)
    with stubbed() as (store, stubber):
        stubber.add_response("query", {"Items": turns})
        both = {"RequestItems": {TABLE: [*first[TABLE], *second[TABLE]]}}
        stubber.add_response("batch_write_item", {"UnprocessedItems": second}, both)
        stubber.add_response("batch_write_item", {}, {"RequestItems": second})
        stubber.add_response("delete_item", {})
        store.erase(fresh.model_copy(update={"session_id": "s"}))


def test_a_batch_that_is_never_done_is_busy_and_keeps_the_record(fresh: Session) -> None:
    key = {"pk": {"S": "session#s"}, "sk": {"S": "turn#000000#000001"}}
    rest = {TABLE: [{"DeleteRequest": {"Key": key}}]}
    with stubbed() as (store, stubber):
        stubber.add_response("query", {"Items": [key]})
        for _ in range(6):
            stubber.add_response("batch_write_item", {"UnprocessedItems": rest})
        with pytest.raises(StoreBusy):
            store.erase(fresh)


def test_a_table_that_cannot_be_reached_is_busy() -> None:
    client = boto3.client(
        "dynamodb",
        region_name="us-east-1",
        endpoint_url=f"http://127.0.0.1:{free_port()}",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"total_max_attempts": 1}),
    )
    with pytest.raises(StoreBusy, match="did not answer"):
        DynamoStore(client, TABLE).load("s", now=0)


def test_an_error_that_is_ours_is_not_hidden() -> None:
    with stubbed() as (store, stubber):
        stubber.add_client_error("get_item", "ValidationException")
        with pytest.raises(ClientError, match="ValidationException"):
            store.load("s", now=0)
