"""The asynchronous queue on a clock of the test's own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.lambda_service.asynchronous import AsyncQueue, Condition, Discard, Dispatch
from local.lambda_service.result import InvokeResult
from local.lambda_service.settings import QueueSettings, load_settings

DONE = InvokeResult(b"{}")
ERROR = InvokeResult(b'{"errorType": "ValueError"}', failed=True)


def queue(*, age: float = 60, retries: int = 0) -> AsyncQueue:
    return AsyncQueue(load_settings().queue, maximum_event_age_s=age, maximum_retry_attempts=retries)


def test_an_event_starts_at_once_and_a_success_is_forgotten() -> None:
    q = queue()
    q.accept("a", b"1", now=5)
    assert q.next_due() == 5
    assert q.due(now=5, free=1) == [Dispatch("a", b"1")]
    assert q.finished("a", DONE, now=9) is None
    assert q.next_due() is None
    assert q.due(now=1000, free=1) == []


def test_events_due_together_go_in_order_of_arrival_while_there_is_room() -> None:
    q = queue()
    for name in "abc":
        q.accept(name, name.encode(), now=0)
    assert q.due(now=0, free=2) == [Dispatch("a", b"a"), Dispatch("b", b"b")]
    assert q.due(now=1, free=1) == [Dispatch("c", b"c")]


def test_a_throttled_event_backs_off_and_does_not_start_before_its_time() -> None:
    q = queue(age=3600)
    q.accept("a", b"1", now=0)
    waits = []
    now = 0.0
    for _ in range(11):
        assert q.due(now=now, free=0) == []
        due = q.next_due()
        assert due is not None
        assert q.due(now=due - 0.001, free=1) == []
        waits.append(due - now)
        now = due
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    assert q.due(now=now, free=1) == [Dispatch("a", b"1")]


def test_an_event_that_never_finds_room_is_given_up_at_its_maximum_age() -> None:
    q = queue(age=60)
    q.accept("a", b"1", now=100)
    while (now := q.next_due()) != 160:
        assert now is not None
        assert q.due(now=now, free=0) == []
    assert q.due(now=160, free=1) == [Discard("a", b"1", Condition.EVENT_AGE_EXCEEDED, 0, None)]
    assert q.next_due() is None


def test_age_does_not_end_a_running_invoke() -> None:
    q = queue(age=60)
    q.accept("a", b"1", now=0)
    q.due(now=0, free=1)
    assert q.due(now=600, free=1) == []
    assert q.finished("a", DONE, now=600) is None


def test_without_retries_a_failure_is_given_up_with_its_result() -> None:
    q = queue(retries=0)
    q.accept("a", b"1", now=0)
    q.due(now=0, free=1)
    discard = q.finished("a", ERROR, now=3)
    assert discard == Discard("a", b"1", Condition.RETRIES_EXHAUSTED, 1, ERROR)


def test_two_retries_come_after_one_and_two_minutes_under_the_same_id() -> None:
    q = queue(age=3600, retries=2)
    q.accept("a", b"1", now=0)
    assert q.due(now=0, free=1) == [Dispatch("a", b"1")]
    assert q.finished("a", ERROR, now=10) is None
    assert q.next_due() == 70
    assert q.due(now=70, free=1) == [Dispatch("a", b"1")]
    assert q.finished("a", ERROR, now=80) is None
    assert q.next_due() == 200
    assert q.due(now=200, free=1) == [Dispatch("a", b"1")]
    assert q.finished("a", ERROR, now=210) == Discard("a", b"1", Condition.RETRIES_EXHAUSTED, 3, ERROR)


def test_a_retry_that_would_come_too_late_is_given_up_at_the_maximum_age_with_the_last_result() -> None:
    q = queue(age=60, retries=2)
    q.accept("a", b"1", now=0)
    q.due(now=0, free=1)
    assert q.finished("a", ERROR, now=10) is None
    assert q.due(now=60, free=1) == [Discard("a", b"1", Condition.EVENT_AGE_EXCEEDED, 1, ERROR)]


def test_a_retry_that_is_throttled_until_it_is_too_old_has_no_result() -> None:
    q = queue(age=71, retries=1)
    q.accept("a", b"1", now=0)
    q.due(now=0, free=1)
    q.finished("a", ERROR, now=10)
    assert q.due(now=70, free=0) == []
    assert q.due(now=71, free=1) == [Discard("a", b"1", Condition.EVENT_AGE_EXCEEDED, 1, None)]


def test_finishing_what_does_not_run_is_an_error() -> None:
    with pytest.raises(KeyError):
        queue().finished("a", DONE, now=0)


@given(
    st.integers(min_value=0, max_value=2),
    st.lists(
        st.tuples(st.sampled_from(["accept", "tick", "done", "error"]), st.floats(min_value=0, max_value=90)),
        max_size=60,
    ),
)
def test_every_event_ends_exactly_once_and_environments_are_never_shared(
    retries: int, steps: list[tuple[str, float]]
) -> None:
    settings = QueueSettings(throttle_backoff_s=1, throttle_backoff_max_s=300, retry_waits_s=(60, 120))
    q = AsyncQueue(settings, maximum_event_age_s=100, maximum_retry_attempts=retries)
    accepted: list[str] = []
    running: list[str] = []
    ended: list[str] = []

    def tick(now: float) -> None:
        for action in q.due(now=now, free=2 - len(running)):
            (running if isinstance(action, Dispatch) else ended).append(action.request_id)
        assert len(running) <= 2

    def finish(result: InvokeResult, now: float) -> None:
        request_id = running.pop(0)
        discard = q.finished(request_id, result, now=now)
        if discard or not result.failed:
            ended.append(request_id)

    now = 0.0
    for step, wait in steps:
        now += wait
        if step == "accept":
            accepted.append(f"event {len(accepted)}")
            q.accept(accepted[-1], b"{}", now=now)
        elif step in ("done", "error") and running:
            finish(DONE if step == "done" else ERROR, now)
        tick(now)
    while running or q.next_due() is not None:
        while running:
            finish(DONE, now)
        now = max(now, q.next_due() or now)
        tick(now)
    assert sorted(ended) == sorted(accepted)
