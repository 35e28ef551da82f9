"""A holder and a busy table: asked again and again, and often enough for a stop to be seen in time."""

import pytest

from lambda_image.holding import patiently
from lambda_image.tasks import Threads
from session.limits import limits
from session.store import StoreBusy


class Waits(Threads):
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.waits: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds


def busy() -> None:
    raise StoreBusy("throttled")


def test_a_stop_waits_no_longer_for_a_busy_table_than_for_a_quiet_one() -> None:
    tasks = Waits()
    with pytest.raises(StoreBusy):
        patiently(tasks, 60.0, busy)
    assert tasks.waits[0] < tasks.waits[-1]
    assert max(tasks.waits) == limits().stop_poll_s


def test_it_gives_up_before_its_invocation_ends() -> None:
    tasks, asked = Waits(), list[float]()
    with pytest.raises(StoreBusy):
        patiently(tasks, 60.0, busy, lambda: asked.append(tasks.now))
    assert 59.0 < asked[-1] <= 60.0
