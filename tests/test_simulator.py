"""The session's promises under injected faults: seeded schedules, a stateful search, and planted bugs."""

import json
import logging
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.sim.chaos import KINDS
from tests.sim.listener import Listener
from tests.sim.mutations import MUTATIONS
from tests.sim.simulation import Simulation, play
from tests.sim.workers import Workers

SCHEDULES = 10_000
SEARCHES = 150
FIRST_SEED = 1


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
    assert len(hunts) == len(MUTATIONS) >= 10
    assert [name for name, hunt in hunts.items() if hunt.found is None] == []


def test_a_seed_tells_the_same_story_again() -> None:
    first, again = play(7, traced=True), play(7, traced=True)
    assert first.trace == again.trace
    assert len(first.trace) > 100


class Evening(RuleBasedStateMachine):
    """Listeners, time and faults in any order that hypothesis likes; at the end, all must be well."""

    def __init__(self) -> None:
        super().__init__()
        self.simulation = Simulation(11, rates={})

    def listener(self, number: int) -> Listener | None:
        there = [listener for listener in self.simulation.listeners if listener.connected]
        return there[number % len(there)] if there else None

    @rule(seconds=st.sampled_from((0.1, 0.7, 3.0, 11.0, 25.0, 95.0)))
    def time_passes(self, seconds: float) -> None:
        self.simulation.run(seconds)

    @rule(kind=st.sampled_from(sorted(KINDS)))
    def something_is_about_to_go_wrong(self, kind: str) -> None:
        self.simulation.chaos.force(kind)

    @rule(number=st.integers(0, 3))
    def somebody_speaks(self, number: int) -> None:
        listener = self.listener(number)
        if listener and listener.story.open_turn is None:
            listener.say("I open the gate.")

    @rule(number=st.integers(0, 3))
    def somebody_stops(self, number: int) -> None:
        if listener := self.listener(number):
            listener.stop()

    @rule(number=st.integers(0, 3))
    def somebody_does_something_else(self, number: int) -> None:
        if listener := self.listener(number):
            listener.disturb()

    @rule(number=st.integers(0, 3))
    def somebody_comes_from_another_device(self, number: int) -> None:
        listener = self.listener(number)
        if listener and len(self.simulation.listeners) < 6:
            self.simulation.join(listener)

    @invariant()
    def nothing_is_wrong(self) -> None:
        assert not self.simulation.witness.found

    def teardown(self) -> None:
        try:
            self.simulation.settle()
            assert not self.simulation.witness.found
        finally:
            self.simulation.close()


Evening.TestCase.settings = settings(
    max_examples=SEARCHES,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestEvening = Evening.TestCase
