"""What the table really holds: nothing too large, nothing for ever, and nothing that names an address."""

import uuid
from typing import Any

from prologue.dialogue import DialogueState
from session.dynamodb import DynamoStore
from session.events import Metrics, Saved, TurnDone, Usage
from session.house import ask, hold
from session.items import session_item
from session.limits import limits
from session.record import LastTurn, LiveTurn, Session
from tests.tables import FOREVER, TABLE, client_of, item_bytes, telling, turn

pytest_plugins = ["tests.store_fixtures"]
MOST_BYTES = 400 * 1024  # DynamoDB's limit of an item
WIDE = "🎭"  # four bytes
ENVIRONMENTS = 1000  # an account's, unless Lambda is asked for more
IDS = [f"{n:x}".rjust(64, "i") for n in range(max(ENVIRONMENTS + limits().queue_places, 2000))]


def every_item(store: DynamoStore) -> list[dict[str, Any]]:
    pages = client_of(store).get_paginator("scan").paginate(TableName=TABLE)
    return [item for page in pages for item in page["Items"]]


def item(store: DynamoStore, pk: str, sk: str = "head") -> dict[str, Any]:
    key = {"pk": {"S": pk}, "sk": {"S": sk}}
    found: dict[str, Any] = client_of(store).get_item(TableName=TABLE, Key=key)["Item"]
    return found


def longest(session: Session, piece: int) -> Session:
    """Everything in it as long as the limits allow, in the widest characters."""
    of_the_past = limits().recent_turns
    done = TurnDone(
        turn_id=IDS[0],
        version=limits().turn_versions,
        status="incomplete",
        finish_reason="listener_gone",
        length=limits().turn_chars,
        usage=Usage(prompt_tokens=131_072, completion_tokens=9999, kv_reused_tokens=131_072),
        metrics=Metrics(**dict.fromkeys(Metrics.model_fields, 1234.567890123456)),
        saved=Saved(seconds=0.1 + 0.2, cost_usd=0.1 + 0.2, energy_wh=0.1 + 0.2),
    )
    return session.model_copy(
        update={
            "title": WIDE * limits().title_chars,
            "subject": WIDE * 128,
            "dialogue": DialogueState(
                log=tuple(f"fragment:{n}:0.123456789012345" for n in range(500)),
                answers={IDS[n]: WIDE * 2 * limits().answer_chars for n in range(50)},
                choices={IDS[n]: IDS[n] for n in range(50)},
            ),
            "live": LiveTurn(
                turn_id=IDS[0],
                version=limits().turn_versions,
                number=limits().session_turns,
                said=WIDE * limits().say_chars,
                seed=2**63,
                created=1_763_712_345.123456,
                chunks=(WIDE * piece,) * (limits().turn_chars // piece),
                length=limits().turn_chars,
                continued=limits().turn_chars - 1,
            ),
            "tombstones": tuple(IDS[: limits().tombstones]),
            "recent": tuple(IDS[:of_the_past]),
            "removed": tuple(IDS[:of_the_past]),
            "last": LastTurn(
                turn_id=IDS[0],
                number=limits().session_turns,
                version=limits().turn_versions,
                source="model",
                status="incomplete",
                finish_reason="listener_gone",
                length=limits().turn_chars,
            ),
            "last_done": done,
        }
    )


def test_the_longest_live_turn_stays_far_under_the_limit(tabled: DynamoStore, fresh: Session) -> None:
    stored = tabled.commit(longest(fresh, piece=80))
    assert tabled.load(fresh.session_id, now=0) == stored
    assert item_bytes(item(tabled, f"session#{fresh.session_id}")) < 0.8 * MOST_BYTES


def test_a_turn_in_the_smallest_pieces_stays_far_under_the_limit(fresh: Session) -> None:
    """By itself: the emulators take their time with so many."""
    assert item_bytes(session_item(longest(fresh, piece=1), uuid.uuid4().hex)) < 0.8 * MOST_BYTES


def test_the_longest_finished_turn_stays_far_under_the_limit(tabled: DynamoStore, fresh: Session) -> None:
    text, said = WIDE * limits().turn_chars, WIDE * limits().say_chars
    tabled.commit(fresh, [turn(0, text).model_copy(update={"said": said})])
    assert item_bytes(item(tabled, f"session#{fresh.session_id}", "turn#000000#000001")) < 0.4 * MOST_BYTES


def test_the_fullest_house_stays_under_the_limit(tabled: DynamoStore) -> None:
    house = tabled.load_house(uuid.uuid4().hex)
    now = 1_763_712_345.123456
    for session_id in IDS[:ENVIRONMENTS]:
        house = hold(house, session_id, 10**6, now)
    for session_id in IDS[ENVIRONMENTS:]:
        house, _ = ask(house, session_id, 1, now, capacity=ENVIRONMENTS)
    assert len(house.queue) == limits().queue_places
    stored = tabled.commit_house(house)
    assert tabled.load_house(house.model_name) == stored
    assert item_bytes(item(tabled, f"house#{house.model_name}")) < 0.6 * MOST_BYTES


def test_the_head_does_not_grow_with_the_story(tabled: DynamoStore, fresh: Session) -> None:
    session = tabled.commit(fresh)
    before = item_bytes(item(tabled, f"session#{fresh.session_id}"))
    for number in range(10):
        session = tabled.commit(session, [turn(number, "x" * 20_000)])
    assert item_bytes(item(tabled, f"session#{fresh.session_id}")) < before + 10


def test_everything_but_the_houses_expires(moto_store: DynamoStore, fresh: Session) -> None:
    store, day = moto_store, 20_000 * 86_400
    session = store.commit(telling(fresh).model_copy(update={"subject": "me"}), [turn(0)])
    store.append_delta(session, offset=0, text="Once", seat_expires=9.0)
    store.bind("c1", fresh.session_id, 12_345, instead_of=None, now=0)
    store.frame("c1", 10.0)
    store.count_session("2001:db8::1", day + 86_399)
    store.use_ticket("t1", 12_345, now=0)
    store.count("asked", 60, 125.0)
    store.commit_house(store.load_house("llama"))
    expires = {(i["pk"]["S"], i["sk"]["S"]): i.get("expires", {}).get("N") for i in every_item(store)}
    (address,) = [pk for pk, _ in expires if pk.startswith("address#")]
    pk = f"session#{fresh.session_id}"
    assert expires == {
        (pk, "head"): str(FOREVER),
        (pk, "turn#000000#000001"): str(FOREVER),
        ("subject#me", pk): str(FOREVER),
        ("connection#c1", "head"): "12345",
        ("ticket#t1", "head"): "12345",
        ("count#asked#2", "head"): "240",
        ("house#llama", "head"): None,
        (address, "head"): str(day + 3 * 86_400 - 1),
    }


def test_an_address_is_not_stored_and_is_another_one_tomorrow(moto_store: DynamoStore) -> None:
    for now in (0, 86_400):
        moto_store.count_session("2001:db8::1", now)
    keys = {item["pk"]["S"] for item in every_item(moto_store)}
    assert len(keys) == 2
    assert "2001:db8" not in str(every_item(moto_store))


def test_an_erased_session_leaves_its_connection_the_id_and_nothing_at_all_besides(
    moto_store: DynamoStore, fresh: Session
) -> None:
    session = fresh.model_copy(update={"subject": "me", "connection_id": "c1"})
    for number in range(40):
        session = moto_store.commit(session, [turn(number, "x" * 40_000)])  # more than a page of a query
    moto_store.bind("c1", fresh.session_id, FOREVER, instead_of=None, now=0)
    assert len(every_item(moto_store)) == 43
    moto_store.erase(session)
    (left,) = every_item(moto_store)
    assert (left["pk"]["S"], left["session_id"]["S"]) == ("connection#c1", fresh.session_id)
    assert set(left) == {"pk", "sk", "session_id", "expires", "frames", "mark_s", "mark_frames"}
    moto_store.unbind("c1")
    assert every_item(moto_store) == []
