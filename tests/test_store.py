"""The store's promises, on two independent DynamoDB emulators and on the tests' own stand-in."""

import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto import mock_aws

from local.table import LocalTable
from session.dynamodb import DynamoStore, table_definition
from session.record import LiveTurn, Phase, Seat, Session, Turn
from session.step import SeatLost
from session.store import Conflict, Store
from tests.fakes import MemoryStore
from tests.house import free_port

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

FOREVER = 9_999_999_999


def dynamodb(endpoint: str | None = None) -> "DynamoDBClient":
    return boto3.client(
        "dynamodb",
        region_name="us-east-1",
        endpoint_url=endpoint,
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )


@pytest.fixture(scope="module")
def ministack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    table = LocalTable(free_port(), tmp_path_factory.mktemp("ministack") / "table.log")
    table.create("sessions")
    yield table.endpoint
    table.stop()


@pytest.fixture(params=["memory", "moto", "ministack"])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    if request.param == "memory":
        yield MemoryStore()
    elif request.param == "moto":
        with mock_aws():
            client = dynamodb()
            client.create_table(**table_definition("sessions"))
            yield DynamoStore(client, "sessions")
    else:
        endpoint = request.getfixturevalue("ministack")
        yield DynamoStore(dynamodb(endpoint), "sessions")


@pytest.fixture
def fresh() -> Session:
    return Session(
        session_id=uuid.uuid4().hex,
        resume_hash="h",
        world="w",
        model_name="m",
        created=0.25,
        expires=FOREVER,
    )


def turn(number: int, text: str = "Once.") -> Turn:
    return Turn(
        number=number,
        turn_id=f"t{number}",
        version=1,
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


def test_what_is_stored_is_read_back_unchanged(store: Store, fresh: Session) -> None:
    stored = store.commit(telling(fresh))
    assert stored.rev == 1
    assert store.load(fresh.session_id, now=0) == stored
    assert store.load("nobody", now=0) is None


def test_only_the_first_of_two_writers_succeeds(store: Store, fresh: Session) -> None:
    first = store.commit(fresh)
    with pytest.raises(Conflict):
        store.commit(fresh)
    store.commit(first.model_copy(update={"work_seq": 1}))
    with pytest.raises(Conflict):
        store.commit(first.model_copy(update={"work_seq": 2}))
    found = store.load(fresh.session_id, now=0)
    assert found is not None
    assert found.work_seq == 1


def test_a_turn_is_archived_with_its_record_or_not_at_all(store: Store, fresh: Session) -> None:
    first = store.commit(fresh, [turn(0)])
    with pytest.raises(Conflict):
        store.commit(fresh, [turn(7)])
    store.commit(first, [turn(1, "Zwei 🎭.")])
    assert store.turns(fresh.session_id) == [turn(0), turn(1, "Zwei 🎭.")]


def test_turns_come_oldest_first(store: Store, fresh: Session) -> None:
    session = fresh
    for number in (0, 1, 2, 10, 11):
        session = store.commit(session, [turn(number)])
    assert [t.number for t in store.turns(fresh.session_id)] == [0, 1, 2, 10, 11]


def test_deltas_append_renew_the_seat_and_tell_what_others_wrote(store: Store, fresh: Session) -> None:
    session = store.commit(telling(fresh))
    after = store.append_delta(session, offset=0, text="Es war 🦊", seat_expires=200.25)
    assert after.live is not None
    assert (after.live.text, after.live.length) == ("Es war 🦊", 8)
    assert (after.seat.expires, after.rev) == (200.25, session.rev + 1)
    store.commit(after.model_copy(update={"stop": True, "connection_id": "c2"}))
    seen = store.append_delta(after, offset=8, text=" einmal", seat_expires=201.0)
    assert (seen.stop, seen.connection_id) == (True, "c2")
    assert store.load(fresh.session_id, now=0) == seen


@pytest.mark.parametrize("lost", ["epoch", "holder", "turn", "version", "offset", "released"])
def test_no_delta_without_the_seat_and_the_turn(store: Store, fresh: Session, lost: str) -> None:
    session = store.commit(telling(fresh))
    assert session.live is not None
    changes: dict[str, dict[str, Any]] = {
        "epoch": {"seat": session.seat.model_copy(update={"epoch": 4})},
        "holder": {"seat": session.seat.model_copy(update={"holder": "r2"})},
        "turn": {"live": session.live.model_copy(update={"turn_id": "u"})},
        "version": {"live": session.live.model_copy(update={"version": 2})},
        "offset": {"live": session.live.model_copy(update={"chunks": ("abc",), "length": 3})},
        "released": {"live": None},
    }
    taken = store.commit(session.model_copy(update=changes[lost]))
    with pytest.raises(SeatLost):
        store.append_delta(session, offset=0, text="ghost", seat_expires=999.0)
    assert store.load(fresh.session_id, now=0) == taken


def test_expired_items_are_as_good_as_gone(store: Store, fresh: Session) -> None:
    store.commit(fresh.model_copy(update={"expires": 50}))
    assert store.load(fresh.session_id, now=49) is not None
    assert store.load(fresh.session_id, now=50) is None


def test_connections_are_bound_and_unbound(store: Store) -> None:
    assert store.session_of("PJqB0fHsqRcCHlw=", now=0) is None
    store.bind("PJqB0fHsqRcCHlw=", "s1", FOREVER)
    assert store.session_of("PJqB0fHsqRcCHlw=", now=0) == "s1"
    store.unbind("PJqB0fHsqRcCHlw=")
    store.unbind("PJqB0fHsqRcCHlw=")
    assert store.session_of("PJqB0fHsqRcCHlw=", now=0) is None


def test_the_model_is_remembered(store: Store) -> None:
    assert store.model_seen("llama") == 0.0
    store.note_model("llama", 1_763_712_345.5)
    assert store.model_seen("llama") == 1_763_712_345.5


def test_a_write_whose_answer_was_lost_is_recognised_as_our_own(fresh: Session) -> None:
    """boto3 repeats a request when the answer is lost; the repetition must not look like a rival."""
    with mock_aws():
        client = dynamodb()
        client.create_table(**table_definition("sessions"))
        store = DynamoStore(client, "sessions")

        def twice(name: str) -> None:
            once = getattr(client, name)

            def send_twice(**arguments: object) -> object:
                once(**arguments)
                return once(**arguments)

            setattr(client, name, send_twice)

        twice("put_item")
        twice("update_item")
        session = store.commit(telling(fresh))
        after = store.append_delta(session, offset=0, text="Once", seat_expires=1.0)
        assert after.live is not None
        assert after.live.text == "Once"
        assert store.commit(after).rev == after.rev + 1
