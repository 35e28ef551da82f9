"""The store's promises about tickets and counters, on every implementation."""

import uuid

import pytest

from session.dynamodb import DynamoStore
from session.store import Admissions
from tests.tables import client_of, lose_answers

pytest_plugins = ["tests.store_fixtures"]


@pytest.fixture
def name() -> str:
    return uuid.uuid4().hex


def test_a_ticket_is_used_once(store: Admissions, name: str) -> None:
    assert store.use_ticket(name, 200, now=100.5)
    assert not store.use_ticket(name, 200, now=100.5)
    assert not store.use_ticket(name, 300, now=199.9)
    assert store.use_ticket(uuid.uuid4().hex, 200, now=100.5)


def test_an_expired_mark_is_none_though_the_table_still_has_it(store: Admissions, name: str) -> None:
    assert store.use_ticket(name, 200, now=100.5)
    assert store.use_ticket(name, 400, now=200.0)
    assert not store.use_ticket(name, 400, now=201.0)


def test_a_use_whose_answer_was_lost_counts_once_and_is_believed(tabled: DynamoStore, name: str) -> None:
    sent = lose_answers(client_of(tabled), "PutItem", times=2)
    assert tabled.use_ticket(name, 200, now=100.5)
    assert len(sent) == 3
    assert not tabled.use_ticket(name, 200, now=100.5)


def test_counters_begin_anew_with_each_window(store: Admissions, name: str) -> None:
    other = uuid.uuid4().hex
    assert [store.count(name, 60, now) for now in (120.0, 150.5, 179.9)] == [1, 2, 3]
    assert store.count(name, 60, 180.0) == 1
    assert store.count(name, 60, 170.0) == 4  # a clock that is behind
    assert store.count(other, 60, 120.0) == 1


def test_counters_count_by_more_and_tell_without_counting(store: Admissions, name: str) -> None:
    assert store.count(name, 86_400, 10.0, by=0) == 0
    assert store.count(name, 86_400, 10.0, by=40) == 40
    assert store.count(name, 86_400, 11.0, by=2) == 42
    assert store.count(name, 86_400, 12.0, by=0) == 42
