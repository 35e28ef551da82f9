"""The session's promises under injected faults: seeded schedules, a stateful search, and planted bugs."""

import json
import logging
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.sim.evening import Evening
from tests.sim.mutations import MUTATIONS
from tests.sim.simulation import play
from tests.sim.workers import Workers

SCHEDULES = 10_000
FIRST_SEED = 1
# The same examples every time: `make simulate` is there to look further.
SEARCH = settings(
    max_examples=150,
    stateful_step_count=25,
    deadline=None,
    database=None,
    derandomize=True,
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)  # what is injected is logged, too
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    with Workers(2) as pool:
        yield pool


def test_nothing_is_lost_and_nothing_told_twice_in_ten_thousand_schedules(workers: Workers) -> None:
    played, faults = 0, 0
    for batch in workers.simulate(SCHEDULES, FIRST_SEED):
        played, faults = played + batch.schedules, faults + batch.faults
        for wrong in batch.wrong:
            pytest.fail(f"python -m tests.sim --replay {wrong.seed}: {wrong.violations}")
    print(json.dumps({"schedules": played, "faults": faults}))
    assert played == SCHEDULES
    assert faults > SCHEDULES  # else nothing was proved


def test_every_planted_bug_is_caught(workers: Workers) -> None:
    hunts = {hunt.name: hunt for hunt in workers.hunt(FIRST_SEED)}
    for hunt in hunts.values():
        print(f"{hunt.name}: {hunt.schedules} schedules: {hunt.found and hunt.found.violations[0]}")
    assert len(hunts) == len(MUTATIONS) >= 30
    assert [name for name, hunt in hunts.items() if hunt.found is None] == []


def test_a_seed_tells_the_same_story_again() -> None:
    first, again = play(7, traced=True), play(7, traced=True)
    assert first.trace == again.trace
    assert len(first.trace) > 100


def test_nothing_goes_wrong_in_any_order_of_doings_and_faults() -> None:
    run_state_machine_as_test(Evening, settings=SEARCH)


@pytest.mark.parametrize(
    "name",
    [
        "delta_posted_before_it_is_stored",
        "late_disconnect_clears_the_new_connection",
        "stop_flag_is_ignored",
    ],
)
def test_the_search_finds_planted_bugs(name: str) -> None:
    with MUTATIONS[name].plant(), pytest.raises(AssertionError):
        run_state_machine_as_test(
            Evening, settings=settings(SEARCH, max_examples=500, phases=[Phase.generate])
        )
    print(name, *Evening.steps, sep="\n  ")
