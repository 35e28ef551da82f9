"""The store's promises about sessions, on two DynamoDB emulators and on the tests' own stand-in."""

import uuid
from typing import Any

import pytest

from session.limits import limits
from session.record import Session
from session.step import SeatLost
from session.store import Conflict, Store
from tests.tables import FOREVER, telling, turn

pytest_plugins = ["tests.store_fixtures"]


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


def test_a_record_that_is_gone_does_not_come_back(store: Store, fresh: Session) -> None:
    session = store.commit(telling(fresh))
    store.erase(session)
    with pytest.raises(Conflict):
        store.commit(session, [turn(0)])
    with pytest.raises(SeatLost):
        store.append_delta(session, offset=0, text="ghost", seat_expires=999.0)
    assert store.load(fresh.session_id, now=0) is None
    assert store.turns(fresh.session_id, now=0) == []


# ---- turns ----------------------------------------------------------------------------------------------


def test_a_turn_is_archived_with_its_record_or_not_at_all(store: Store, fresh: Session) -> None:
    first = store.commit(fresh, [turn(0)])
    with pytest.raises(Conflict):
        store.commit(fresh, [turn(7)])
    store.commit(first, [turn(1, "Zwei 🎭.")])
    assert store.turns(fresh.session_id, now=0) == [turn(0), turn(1, "Zwei 🎭.")]


def test_turns_come_oldest_first_with_all_their_versions(store: Store, fresh: Session) -> None:
    session = fresh
    for number, version in ((0, 1), (1, 1), (1, 2), (1, 10), (2, 1), (10, 1), (10, 2000), (11, 1)):
        session = store.commit(session, [turn(number, version=version)])
    told = [(t.number, t.version) for t in store.turns(fresh.session_id, now=0)]
    assert told == [(0, 1), (1, 1), (1, 2), (1, 10), (2, 1), (10, 1), (10, 2000), (11, 1)]


def test_a_turn_is_removed_with_all_its_versions_or_not_at_all(store: Store, fresh: Session) -> None:
    first = store.commit(fresh, [turn(0), turn(1), turn(1, version=2)])
    last = store.commit(first, [turn(2)])
    with pytest.raises(Conflict):
        store.commit(first, remove=[(1, 1), (1, 2)])
    assert len(store.turns(fresh.session_id, now=0)) == 4
    store.commit(last, [turn(3)], remove=[(1, 1), (1, 2), (9, 9)])
    assert store.turns(fresh.session_id, now=0) == [turn(0), turn(2), turn(3)]


def test_a_turn_with_the_most_versions_is_removed_at_once(store: Store, fresh: Session) -> None:
    every = [turn(1, version=version) for version in range(1, limits().turn_versions + 1)]
    session = store.commit(fresh, [turn(0), *every])
    store.commit(session, remove=[(t.number, t.version) for t in every])
    assert store.turns(fresh.session_id, now=0) == [turn(0)]


# ---- deltas ---------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("lost", ["epoch", "holder", "turn", "version", "offset", "released", "deleted"])
def test_no_delta_without_the_seat_and_the_turn(store: Store, fresh: Session, lost: str) -> None:
    session = store.commit(telling(fresh))
    assert session.live is not None
    epoch = session.seat.model_copy(update={"epoch": 4})
    changes: dict[str, dict[str, Any]] = {
        "epoch": {"seat": epoch},
        "holder": {"seat": session.seat.model_copy(update={"holder": "r2"})},
        "turn": {"live": session.live.model_copy(update={"turn_id": "u"})},
        "version": {"live": session.live.model_copy(update={"version": 2})},
        "offset": {"live": session.live.model_copy(update={"chunks": ("abc",), "length": 3})},
        "released": {"live": None},
        "deleted": {"live": None, "seat": epoch, "deleted": True},
    }
    taken = store.commit(session.model_copy(update=changes[lost]))
    with pytest.raises(SeatLost):
        store.append_delta(session, offset=0, text="ghost", seat_expires=999.0)
    assert store.load(fresh.session_id, now=0) == taken


def test_a_delta_that_is_repeated_is_there_once(store: Store, fresh: Session) -> None:
    session = store.commit(telling(fresh))
    once = store.append_delta(session, offset=0, text="Once", seat_expires=1.0)
    assert store.append_delta(session, offset=0, text="Once", seat_expires=1.0) == once
    with pytest.raises(SeatLost):
        store.append_delta(session, offset=0, text="Twice", seat_expires=1.0)
    with pytest.raises(SeatLost):
        store.append_delta(session, offset=9, text="", seat_expires=1.0)
    assert store.load(fresh.session_id, now=0) == once


# ---- expiry, erasure, lists -----------------------------------------------------------------------------


def test_expired_items_are_as_good_as_gone(store: Store, fresh: Session) -> None:
    store.commit(fresh.model_copy(update={"expires": 50, "subject": fresh.session_id}), [turn(0)])
    assert store.load(fresh.session_id, now=49.9) is not None
    assert store.load(fresh.session_id, now=50) is None
    assert store.turns(fresh.session_id, now=49.9) == [turn(0)]
    assert store.turns(fresh.session_id, now=50) == []
    assert len(store.sessions_of(fresh.session_id, now=49.9)) == 1
    assert store.sessions_of(fresh.session_id, now=50) == []


def test_nothing_is_left_of_an_erased_session_and_everything_of_others(store: Store, fresh: Session) -> None:
    subject, connection = uuid.uuid4().hex, uuid.uuid4().hex
    other = fresh.model_copy(update={"session_id": uuid.uuid4().hex, "subject": subject})
    store.commit(other, [turn(0)])
    session = store.commit(fresh.model_copy(update={"subject": subject, "connection_id": connection}))
    for number in range(0, 60, 30):
        session = store.commit(session, [turn(n) for n in range(number, number + 30)])
    store.bind(connection, fresh.session_id, FOREVER, instead_of=None, now=0)
    store.erase(session)
    assert store.load(fresh.session_id, now=0) is None
    assert store.turns(fresh.session_id, now=0) == []
    assert store.session_of(connection, now=0) == fresh.session_id  # until it ends
    assert [s.session_id for s in store.sessions_of(subject, now=0)] == [other.session_id]
    assert store.turns(other.session_id, now=0) == [turn(0)]
    store.erase(session)
    store.erase(session.model_copy(update={"connection_id": None, "subject": None}))


def test_a_deleted_record_is_loaded_so_that_it_can_be_erased_again(store: Store, fresh: Session) -> None:
    subject = uuid.uuid4().hex
    session = store.commit(fresh.model_copy(update={"subject": subject}))
    assert store.sessions_of(subject, now=0) == [session]
    deleted = store.commit(session.model_copy(update={"deleted": True}))
    assert store.load(fresh.session_id, now=0) == deleted
    assert store.sessions_of(subject, now=0) == []


def test_a_subjects_sessions_are_listed_newest_first_as_they_are_now(store: Store, fresh: Session) -> None:
    subject = uuid.uuid4().hex
    made = []
    for created in (3.0, 1.0, 2.0):
        changes = {"session_id": uuid.uuid4().hex, "subject": subject, "created": created}
        made.append(store.commit(fresh.model_copy(update=changes)))
    store.commit(fresh.model_copy(update={"subject": subject + "#2"}))
    renamed = store.commit(made[1].model_copy(update={"title": "Zwei 🎭"}))
    assert store.sessions_of(subject, now=0) == [made[0], made[2], renamed]
    assert store.sessions_of("nobody", now=0) == []


@pytest.mark.parametrize("store", ["memory", "ministack"], indirect=True)  # moto takes its time
def test_a_long_list_is_complete(store: Store, fresh: Session) -> None:
    subject = uuid.uuid4().hex
    ids = [uuid.uuid4().hex for _ in range(105)]
    for created, session_id in enumerate(ids):
        changes = {"session_id": session_id, "subject": subject, "created": float(created)}
        store.commit(fresh.model_copy(update=changes))
    assert [s.session_id for s in store.sessions_of(subject, now=0)] == ids[::-1]
