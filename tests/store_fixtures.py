"""Stores to test: a plugin to be named in `pytest_plugins`, from which nothing is imported."""

import uuid
from collections.abc import Iterator

import pytest
from moto import mock_aws

from local.table import LocalTable
from session.dynamodb import DynamoStore, table_definition
from session.record import Session
from session.store import Store
from tests.fakes import MemoryStore
from tests.house import free_port
from tests.tables import FOREVER, TABLE, dynamodb, one_at_a_time


@pytest.fixture(scope="session")
def ministack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    table = LocalTable(free_port(), tmp_path_factory.mktemp("ministack") / "table.log")
    table.create(TABLE)
    yield table.endpoint
    table.stop()


@pytest.fixture
def moto_store() -> Iterator[DynamoStore]:
    with mock_aws():
        client = one_at_a_time(dynamodb())
        client.create_table(**table_definition(TABLE))
        yield DynamoStore(client, TABLE)


@pytest.fixture
def ministack_store(ministack: str) -> DynamoStore:
    return DynamoStore(dynamodb(ministack), TABLE)


@pytest.fixture
def memory_store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture(params=["memory", "moto", "ministack"])
def store(request: pytest.FixtureRequest) -> Store:
    """Every implementation in turn: the tests' own stand-in, and two emulators that share no code."""
    found: Store = request.getfixturevalue(f"{request.param}_store")
    return found


@pytest.fixture(params=["moto", "ministack"])
def tabled(request: pytest.FixtureRequest) -> DynamoStore:
    """The store on each of the emulators."""
    found: DynamoStore = request.getfixturevalue(f"{request.param}_store")
    return found


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
