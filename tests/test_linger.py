"""Staying for the next turn: taken without a new invocation, paid for, given up in time."""

import logging
from collections.abc import Callable

import pytest

from lambda_image import linger, visit
from session.events import TurnDone
from session.inputs import Disconnected, Skipped
from session.limits import limits
from session.prices import prices
from session.record import Session
from tests.theatre import Theatre


@pytest.fixture
def lingering(monkeypatch: pytest.MonkeyPatch) -> None:
    changed = limits().model_copy(update={"linger_s": 1.0, "linger_poll_s": 0.02, "renew_s": 0.1})
    for module in (visit, linger):
        monkeypatch.setattr(module, "limits", lambda: changed)


def meanwhile(theatre: Theatre, act: Callable[[int], None]) -> None:
    """Calls `act` with a count whenever the session is looked at after the opening scene."""
    load, looks = theatre.store.load, iter(range(1000))

    def look(session_id: str, now: float) -> Session | None:
        if theatre.posted(TurnDone):
            theatre.store.load = load  # type: ignore[method-assign]
            act(next(looks))
            theatre.store.load = look  # type: ignore[method-assign]
        return load(session_id, now)

    theatre.store.load = look  # type: ignore[method-assign]


@pytest.mark.usefixtures("lingering")
def test_it_lingers_for_the_next_turn_and_counts_what_that_costs(caplog: pytest.LogCaptureFixture) -> None:
    theatre = Theatre()

    def say(look: int) -> None:
        if look == 5:
            theatre.say("t")

    meanwhile(theatre, say)
    theatre.runner.apply("s", Skipped(question_id=None))
    with caplog.at_level(logging.INFO):
        assert theatre.serve() == "released"
    assert [turn.turn_id for turn in theatre.store.turns("s")] == ["opening", "t"]
    assert theatre.invoked == [1]
    costs = [frame.metrics for frame in theatre.posted(TurnDone) if frame.metrics]
    told_only = prices().compute(seconds=costs[1].total_s, memory_mb=10_240)
    assert costs[1].cost_usd > told_only + prices().compute(seconds=0.05, memory_mb=10_240)
    assert "for the next turn: USD" in caplog.text
    assert "for nothing: USD" in caplog.text  # after the second one
    assert not theatre.session.seat.holder


@pytest.mark.usefixtures("lingering")
def test_it_does_not_linger_for_a_listener_who_left() -> None:
    theatre = Theatre()
    looked: list[int] = []

    def leave(look: int) -> None:
        looked.append(look)
        if look == 3:
            theatre.runner.apply("s", Disconnected(connection_id="c"))

    meanwhile(theatre, leave)
    theatre.runner.apply("s", Skipped(question_id=None))
    assert theatre.serve() == "released"
    assert len(looked) < 10


@pytest.mark.usefixtures("lingering")
def test_it_does_not_linger_past_its_deadline_nor_without_a_seat() -> None:
    theatre = Theatre()
    theatre.about()
    theatre.runner.apply("s", Skipped(question_id=None))
    assert theatre.serve(seconds=60) == "released"  # less than a seat's life: nothing to wait for
    lost = Theatre()

    def take_the_seat(look: int) -> None:
        head = lost.session
        if look == 3:
            seat = head.seat.model_copy(update={"epoch": head.seat.epoch + 1, "holder": "other"})
            lost.store.heads["s"] = head.model_copy(update={"seat": seat, "rev": head.rev + 1})

    meanwhile(lost, take_the_seat)
    lost.runner.apply("s", Skipped(question_id=None))
    assert lost.serve() == "seat_lost"


def test_it_does_not_linger_unless_asked(caplog: pytest.LogCaptureFixture) -> None:
    theatre = Theatre()
    theatre.runner.apply("s", Skipped(question_id=None))
    with caplog.at_level(logging.INFO):
        theatre.serve()
    assert "lingered" not in caplog.text
