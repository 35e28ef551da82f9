"""The store's promises about connections, houses and addresses, on every implementation."""

import uuid

import pytest

from session.house import House, Slot, ask
from session.store import Conflict, Store
from tests.tables import FOREVER

pytest_plugins = ["tests.store_fixtures"]


@pytest.fixture
def connection() -> str:
    return uuid.uuid4().hex[:15] + "="  # as API Gateway's look


def test_a_connection_speaks_for_one_session_at_a_time(store: Store, connection: str) -> None:
    assert store.session_of(connection, now=0) is None
    store.bind(connection, "s1", FOREVER, instead_of=None, now=0)
    assert store.session_of(connection, now=0) == "s1"
    store.unbind(connection)
    store.unbind(connection)
    assert store.session_of(connection, now=0) is None


def test_a_bound_connection_is_bound_anew_only_in_place_of_what_it_was(store: Store, connection: str) -> None:
    store.bind(connection, "s1", FOREVER, instead_of=None, now=0)
    for instead_of in (None, "s3"):
        with pytest.raises(Conflict):
            store.bind(connection, "s2", FOREVER, instead_of=instead_of, now=0)
    assert store.session_of(connection, now=0) == "s1"
    store.bind(connection, "s2", FOREVER, instead_of="s1", now=0)
    with pytest.raises(Conflict):
        store.bind(connection, "s3", FOREVER, instead_of="s1", now=0)
    assert store.session_of(connection, now=0) == "s2"


def test_binding_the_same_again_is_fine(store: Store, connection: str) -> None:
    store.bind(connection, "s1", 100, instead_of=None, now=0)
    store.bind(connection, "s1", 200, instead_of=None, now=50)
    store.bind(connection, "s1", 300, instead_of="s0", now=50)
    assert store.session_of(connection, now=299) == "s1"


def test_a_connection_that_speaks_for_nobody_is_bound_whatever_it_was(store: Store, connection: str) -> None:
    store.bind(connection, "s2", FOREVER, instead_of="s1", now=0)
    assert store.session_of(connection, now=0) == "s2"


def test_an_expired_binding_is_none(store: Store, connection: str) -> None:
    store.bind(connection, "s1", 100, instead_of=None, now=0)
    assert store.session_of(connection, now=99.9) == "s1"
    assert store.session_of(connection, now=100) is None
    assert store.frame(connection, now=100) is None
    with pytest.raises(Conflict):
        store.bind(connection, "s2", 200, instead_of=None, now=99.9)
    store.bind(connection, "s2", 200, instead_of=None, now=100)
    assert store.session_of(connection, now=100) == "s2"


def test_frames_are_counted_by_the_second(store: Store, connection: str) -> None:
    assert store.frame(connection, now=10.0) is None
    assert store.session_of(connection, now=10.0) is None  # and counting has bound nothing
    store.bind(connection, "s1", FOREVER, instead_of=None, now=0)
    counts = [store.frame(connection, now) for now in (10.0, 10.1, 10.999, 11.0, 11.0, 15.5, 15.9, 15.9)]
    assert counts == [("s1", count) for count in (1, 2, 3, 1, 2, 1, 2, 3)]


def test_another_hello_does_not_begin_the_count_anew(store: Store, connection: str) -> None:
    store.bind(connection, "s1", FOREVER, instead_of=None, now=0)
    assert [store.frame(connection, 10.0) for _ in range(3)][-1] == ("s1", 3)
    store.bind(connection, "s2", FOREVER, instead_of="s1", now=10)
    assert store.frame(connection, 10.5) == ("s2", 4)


def test_a_clock_that_goes_back_accuses_nobody(store: Store, connection: str) -> None:
    """Functions' clocks differ: frames a minute apart by the clock may be neighbours."""
    store.bind(connection, "s1", FOREVER, instead_of=None, now=0)
    assert [store.frame(connection, now) for now in (70.0, 10.0, 71.0, 11.0)] == [("s1", 1)] * 4


def test_nothing_is_counted_after_the_connection_has_gone(store: Store, connection: str) -> None:
    store.bind(connection, "s1", FOREVER, instead_of=None, now=0)
    store.frame(connection, now=10.0)
    store.unbind(connection)
    assert store.frame(connection, now=10.0) is None
    assert store.session_of(connection, now=10.0) is None


def test_a_house_is_written_by_one_at_a_time(store: Store) -> None:
    name = uuid.uuid4().hex
    empty = store.load_house(name)
    assert empty == House(model_name=name)
    one, _ = ask(empty, "a", 1, 10.25, capacity=1)
    stored = store.commit_house(one)
    assert (stored.rev, stored.slots) == (1, {"a": Slot(epoch=1, since=10.25, expires=100.25)})
    with pytest.raises(Conflict):
        store.commit_house(one)
    two, _ = ask(stored, "b", 1, 11.5, capacity=1)
    assert store.commit_house(two) == store.load_house(name)
    with pytest.raises(Conflict):
        store.commit_house(two)
    assert [waiting.session_id for waiting in store.load_house(name).queue] == ["b"]
    assert store.load_house(name + "2") == House(model_name=name + "2")


def test_stories_are_counted_by_address_and_day(store: Store) -> None:
    here, there = f"2001:db8::{uuid.uuid4().hex[:4]}", uuid.uuid4().hex
    day = 20_000 * 86_400
    assert [store.count_session(here, day + s) for s in (0, 5.5, 86_399.9)] == [1, 2, 3]
    assert store.count_session(there, day + 6) == 1
    assert store.count_session(here, day + 86_400) == 1
    assert store.count_session(here, day + 7) == 4
