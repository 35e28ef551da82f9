"""The state x action table of `docs/protocol.md`: every cell is what the session and its host really do."""

from pathlib import Path

import pytest

from session.requests import actions
from tests.protocol_table import ACTIONS, FRAMES, ROWS, STATES, cells, of_the_core, of_the_house, render

PROTOCOL = Path(__file__).parent.parent / "docs" / "protocol.md"
CELLS = cells(PROTOCOL.read_text(encoding="utf-8"))
STATE = {name: make for states in STATES for name, make in states.items()}


def test_the_table_has_every_action_in_every_state() -> None:
    assert set(CELLS) == {(action, state) for action in ROWS for state in STATE}
    assert {action.split()[0] for action in FRAMES} == set(actions())


def test_the_document_has_the_table_as_the_tool_writes_it() -> None:
    assert cells(render()) == CELLS


@pytest.mark.parametrize("state", STATE)
@pytest.mark.parametrize("action", ACTIONS)
def test_a_cell_is_what_the_rules_make_of_it(action: str, state: str) -> None:
    assert of_the_core(action, STATE[state]()) == CELLS[action, state]


@pytest.mark.parametrize("state", STATE)
@pytest.mark.parametrize("action", FRAMES)
def test_a_cell_is_what_the_light_function_makes_of_it(action: str, state: str) -> None:
    assert of_the_house(action, STATE[state]()) == CELLS[action, state]
