"""Fixtures of such an account: a plugin to be named in `pytest_plugins`, from which nothing is imported."""

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.stub import Stubber

from tests.account import REGION
from tests.doctor_house import StubbedSession
from tools import deploy, destroy


@pytest.fixture
def session() -> StubbedSession:
    return StubbedSession(REGION)


@pytest.fixture
def account(session: StubbedSession) -> Iterator[dict[str, Stubber]]:
    """What the account answers, in this order; and it must be asked for all of it."""
    with (
        session.answering("cloudformation") as stacks,
        session.answering("lambda") as functions,
        session.answering("ecr") as images,
    ):
        yield {"stacks": stacks, "functions": functions, "images": images}


@pytest.fixture
def cdk(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What the CDK is asked for, by either command; it succeeds."""
    calls: list[tuple[Any, ...]] = []

    def run(*arguments: str, **more: str) -> int:
        calls.append((*arguments[:2], more.get("AWS_REGION")))
        return 0

    for module in (deploy, destroy):
        monkeypatch.setattr(module, "run", run)
    return calls
