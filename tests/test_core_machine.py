"""Any inputs in any order: the core keeps its promises; planted bugs are found, and told in a few inputs."""

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.core_machine import Core
from tests.sim import planted_rules  # noqa: F401 - they register themselves
from tests.sim.mutations import MUTATIONS

# The same examples every time: `make simulate` is there to look further.
SEARCH = settings(
    max_examples=400,
    stateful_step_count=30,
    deadline=None,
    database=None,
    derandomize=True,
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
CAUGHT = (
    "dead_holder_is_never_replaced",
    "holder_leaves_while_work_comes",
    "holder_speaks_with_a_spent_epoch",
    "late_disconnect_clears_the_new_connection",
    "opening_begins_again",
    "repeated_retry_makes_another_version",
    "repeated_say_is_told_anew",
    "turn_ends_twice",
    "two_holders_claim_one_epoch",
    "waiting_work_is_not_settled",
)


def test_the_core_keeps_its_promises() -> None:
    run_state_machine_as_test(Core, settings=SEARCH)


@pytest.mark.parametrize("name", CAUGHT)
def test_a_planted_bug_is_found(name: str) -> None:
    search = settings(SEARCH, max_examples=1000, phases=[Phase.generate])
    with MUTATIONS[name].plant(), pytest.raises((AssertionError, KeyError)):
        run_state_machine_as_test(Core, settings=search)


def test_what_is_found_shrinks_to_a_few_inputs() -> None:
    search = settings(SEARCH, stateful_step_count=12)
    with MUTATIONS["two_holders_claim_one_epoch"].plant(), pytest.raises(AssertionError):
        run_state_machine_as_test(Core, settings=search)
    print(*Core.steps, sep="\n")
    assert len(Core.steps) <= 3
