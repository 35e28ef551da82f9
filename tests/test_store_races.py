"""Several writers at the same moment, in threads, on every implementation: exactly one wins."""

import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import pytest

from session.house import ask
from session.record import Session
from session.step import SeatLost
from session.store import Admissions, Conflict, Store
from tests.tables import FOREVER, telling, turn

pytest_plugins = ["tests.store_fixtures"]
T = TypeVar("T")
ROUNDS = 5


def race(*writers: Callable[[], T]) -> list[T | None]:
    """What each of them got, None for one that was refused."""
    together = threading.Barrier(len(writers))

    def run(writer: Callable[[], T]) -> T | None:
        together.wait()
        try:
            return writer()
        except (Conflict, SeatLost):
            return None

    with ThreadPoolExecutor(len(writers)) as pool:
        return list(pool.map(run, writers))


@pytest.mark.parametrize("archive", [False, True], ids=["plain", "transaction"])
def test_of_several_writers_one_wins(store: Store, fresh: Session, archive: bool) -> None:
    session = store.commit(fresh)
    for number in range(ROUNDS):

        def write(seq: int, session: Session = session, number: int = number) -> Session:
            changed = session.model_copy(update={"work_seq": seq})
            return store.commit(changed, [turn(number, str(seq))] if archive else [])

        results = race(*(partial(write, seq) for seq in range(4)))
        (won,) = [result for result in results if result is not None]
        assert store.load(fresh.session_id, now=0) == won
        if archive:
            assert store.turns(fresh.session_id, now=0)[-1].text == str(won.work_seq)
        session = won


def test_a_delta_and_a_commit_never_both_go_on_from_the_same_record(store: Store, fresh: Session) -> None:
    for _ in range(ROUNDS):
        session = store.commit(telling(fresh).model_copy(update={"session_id": uuid.uuid4().hex}))
        delta, stop = race(
            partial(store.append_delta, session, offset=0, text="Once", seat_expires=9.0),
            partial(store.commit, session.model_copy(update={"stop": True})),
        )
        assert delta is not None, "a stop leaves the seat as it is"
        found = store.load(session.session_id, now=0)
        assert found is not None
        assert found.live is not None
        assert found.live.text == "Once"
        if stop is None:
            assert (delta.stop, found.rev) == (False, session.rev + 1)
        else:
            assert (delta.stop, found.stop, found.rev) == (True, True, session.rev + 2)


def test_two_holders_never_both_speak(store: Store, fresh: Session) -> None:
    for _ in range(ROUNDS):
        session = store.commit(telling(fresh).model_copy(update={"session_id": uuid.uuid4().hex}))
        seat = session.seat.model_copy(update={"epoch": 4, "holder": "r2"})
        old, new = race(
            partial(store.append_delta, session, offset=0, text="Old", seat_expires=9.0),
            partial(store.commit, session.model_copy(update={"seat": seat})),
        )
        assert (old is None) != (new is None)
        found = store.load(session.session_id, now=0)
        assert found is not None
        assert found.live is not None
        assert (found.seat.holder, found.live.text) == (("r1", "Old") if old else ("r2", ""))


def test_of_two_hellos_on_one_connection_one_is_bound(store: Store) -> None:
    for _ in range(ROUNDS):
        connection = uuid.uuid4().hex

        def bind(session_id: str, connection: str = connection) -> str:
            store.bind(connection, session_id, FOREVER, instead_of=None, now=0)
            return session_id

        results = race(*(partial(bind, name) for name in ("s1", "s2", "s3")))
        (won,) = [result for result in results if result is not None]
        assert store.session_of(connection, now=0) == won


def test_of_those_who_ask_at_once_as_many_get_in_as_there_is_room(store: Store) -> None:
    name = uuid.uuid4().hex

    def come(session_id: str) -> int:
        while True:
            house, place = ask(store.load_house(name), session_id, 1, 10.0, capacity=2)
            try:
                store.commit_house(house)
            except Conflict:
                continue
            return 0 if place is None or place.place is None else place.place

    results = race(*(partial(come, f"s{i}") for i in range(6)))
    assert sorted(place for place in results if place is not None) == [0, 0, 1, 2, 3, 4]
    house = store.load_house(name)
    assert (len(house.slots), len(house.queue), house.rev) == (2, 4, 6)


def test_no_frame_and_no_story_goes_uncounted(store: Store) -> None:
    connection, address = uuid.uuid4().hex, uuid.uuid4().hex
    store.bind(connection, "s1", FOREVER, instead_of=None, now=0)
    assert store.frame(connection, 10.0) == ("s1", 1)
    counts = race(*[partial(store.frame, connection, 10.0)] * 6)
    assert sorted(count for _, count in filter(None, counts)) == [2, 3, 4, 5, 6, 7]
    stories = race(*[partial(store.count_session, address, 10.0)] * 6)
    assert sorted(filter(None, stories)) == [1, 2, 3, 4, 5, 6]


def test_of_many_who_show_one_ticket_one_gets_in(store: Admissions) -> None:
    used = race(*[partial(store.use_ticket, uuid.uuid4().hex, 200, 100.5)] * 6)
    assert sorted(filter(None, used)) == [True]


def test_no_request_for_a_ticket_goes_uncounted(store: Admissions) -> None:
    counts = race(*[partial(store.count, uuid.uuid4().hex, 60, 10.0)] * 6)
    assert sorted(filter(None, counts)) == [1, 2, 3, 4, 5, 6]


def test_a_volley_in_a_new_second_counts_whole(store: Store) -> None:
    """Its first frames may learn too small a number; whoever comes after them does not."""
    connection = uuid.uuid4().hex
    store.bind(connection, "s1", FOREVER, instead_of=None, now=0)
    for second in range(1, ROUNDS):
        race(*[partial(store.frame, connection, float(second))] * 6)
        assert store.frame(connection, float(second)) == ("s1", 7)
