"""The house: slots, the queue before them, and what is estimated from both."""

import pytest

from session.house import (
    House,
    Place,
    Slot,
    ask,
    call_next,
    give_up,
    hold,
    leave,
    note_awake,
    note_start,
    typical_start_s,
)
from session.limits import limits

EMPTY = House(model_name="m")
SLOT_S, QUEUE_S, PLACES = limits().slot_s, limits().queue_s, limits().queue_places


def full(*waiting: str, now: float = 0.0) -> House:
    """One environment, leased for `holder`, and some who wait for it."""
    house, _ = ask(EMPTY, "holder", 1, now, capacity=1)
    for session_id in waiting:
        house, _ = ask(house, session_id, 1, now, capacity=1)
    return house


def queue(house: House) -> list[str]:
    return [waiting.session_id for waiting in house.queue]


def test_whoever_comes_while_a_slot_is_free_gets_it() -> None:
    house, place = ask(EMPTY, "a", 1, 10.0, capacity=2)
    assert place is None
    house, place = ask(house, "b", 4, 11.0, capacity=2)
    assert place is None
    assert house.slots == {
        "a": Slot(epoch=1, since=10.0, expires=10.0 + SLOT_S),
        "b": Slot(epoch=4, since=11.0, expires=11.0 + SLOT_S),
    }


def test_the_others_wait_in_the_order_in_which_they_came() -> None:
    house = full("a", "b")
    house, place = ask(house, "c", 1, 1.0, capacity=1)
    assert (place, queue(house)) == (Place(place=3, eta_s=None), ["a", "b", "c"])


def test_asking_again_keeps_the_place_and_is_being_heard() -> None:
    house = hold(full("a", "b"), "holder", 1, QUEUE_S - 1)
    house, place = ask(house, "b", 7, QUEUE_S, capacity=1)
    assert (place, queue(house)) == (Place(place=2, eta_s=None), ["a", "b"])
    house = hold(house, "holder", 1, 2 * QUEUE_S - 1)
    house, place = ask(house, "b", 7, 2 * QUEUE_S, capacity=1)  # by now, `a` has not been heard for too long
    assert (place, queue(house)) == (Place(place=1, eta_s=None), ["b"])


@pytest.mark.parametrize("ahead", [60 + 10, limits().seat_s + 10])
def test_a_place_outlives_a_minute_between_clocks_and_a_lost_answer(ahead: float) -> None:
    """A ping comes every 10 s; where the first answer was lost, it asks once the unused seat has expired."""
    house = hold(full("a", "b"), "holder", 1, ahead)
    house, _ = ask(house, "late", 1, ahead, capacity=1)
    assert queue(house) == ["a", "b", "late"]


def test_a_clock_that_is_behind_takes_nothing_back() -> None:
    house = full("a", now=100.0)
    house, _ = ask(house, "a", 2, 60.0, capacity=1)
    assert house.queue[0].seen == 100.0
    house = hold(house, "holder", 1, 60.0)
    assert house.slots["holder"].expires == 100.0 + SLOT_S
    assert note_awake(note_awake(house, 90.0), 60.0).seen == 90.0
    assert leave(house, "holder", 1, 60.0).held == (0.0,)


def test_asking_again_keeps_the_slot() -> None:
    house = full()
    assert ask(house, "holder", 1, 5.0, capacity=1) == (house, None)
    assert ask(house, "holder", 1, 5.0, capacity=0) == (house, None)


def test_a_later_epoch_takes_over_its_sessions_slot_and_an_earlier_one_does_not() -> None:
    house, place = ask(full("a"), "holder", 3, 5.0, capacity=1)
    assert place is None
    assert house.slots == {"holder": Slot(epoch=3, since=5.0, expires=5.0 + SLOT_S)}
    assert ask(house, "holder", 2, 6.0, capacity=1) == (house, None)
    assert leave(house, "holder", 1, 6.0) == house
    assert hold(house, "holder", 1, 6.0) == house


def test_a_free_slot_belongs_to_the_first_who_is_heard() -> None:
    house = leave(full("a", "b"), "holder", 1, 5.0)
    house, place = ask(house, "new", 1, 6.0, capacity=1)
    assert place == Place(place=3, eta_s=None)
    house, place = ask(house, "b", 1, 6.0, capacity=1)
    assert place == Place(place=2, eta_s=None)
    house, place = ask(house, "a", 2, 6.0, capacity=1)
    assert (place, set(house.slots), queue(house)) == (None, {"a"}, ["b", "new"])


def test_who_is_not_heard_loses_the_place() -> None:
    house = leave(full("a"), "holder", 1, 0.0)
    still, place = ask(house, "b", 1, QUEUE_S, capacity=1)
    assert (place, queue(still)) == (Place(place=2, eta_s=None), ["a", "b"])
    house, place = ask(house, "b", 1, QUEUE_S + 0.1, capacity=1)
    assert (place, queue(house), set(house.slots)) == (None, [], {"b"})


def test_a_lease_that_ran_out_frees_the_slot_and_a_renewed_one_does_not() -> None:
    house = full()
    kept = hold(house, "holder", 1, 30.0)
    assert ask(kept, "a", 1, SLOT_S, capacity=1)[1] == Place(place=1, eta_s=None)
    house, place = ask(house, "a", 1, SLOT_S, capacity=1)
    assert (place, set(house.slots)) == (None, {"a"})


def test_the_queue_has_an_end() -> None:
    house = full(*(f"s{i}" for i in range(PLACES)))
    assert ask(house, "late", 1, 1.0, capacity=1) == (house, Place(place=None, eta_s=None))
    house, place = ask(house, f"s{PLACES - 1}", 2, 1.0, capacity=1)
    assert place == Place(place=PLACES, eta_s=None)


def test_a_holder_that_runs_has_a_slot_whatever_the_count_says() -> None:
    house = hold(full("a", "b"), "a", 1, 5.0)
    assert (set(house.slots), queue(house)) == ({"holder", "a"}, ["b"])
    house, place = ask(leave(house, "a", 1, 9.0), "b", 1, 9.0, capacity=1)
    assert (place, set(house.slots)) == (Place(place=1, eta_s=0.0), {"holder"})


def test_a_new_epoch_is_measured_from_its_own_beginning() -> None:
    house = hold(full(), "holder", 1, 2.0)
    assert leave(hold(house, "holder", 2, 50.0), "holder", 2, 60.0).held == (10.0,)
    assert leave(hold(house, "holder", 1, 50.0), "holder", 1, 60.0).held == (60.0,)


def test_a_slot_that_nobody_held_measures_nothing() -> None:
    house = leave(full(), "holder", 1, 60.0)
    assert (house.slots, house.held) == ({}, ())
    assert leave(house, "holder", 1, 61.0) is house


def test_only_the_last_measurements_are_kept() -> None:
    house = EMPTY
    for seconds in range(20):
        house = leave(hold(house, "a", 1, 0.0), "a", 1, float(seconds))
        house = note_start(house, float(seconds), now=float(seconds))
    last = tuple(float(seconds) for seconds in range(20 - limits().estimates, 20))
    assert (house.held, house.starts, house.seen) == (last, last, 19.0)


def test_a_typical_start_is_the_median_of_real_ones() -> None:
    assert typical_start_s(EMPTY) is None
    house = note_start(note_start(note_start(EMPTY, 40.0, 1.0), 300.0, 2.0), 44.0, 3.0)
    assert typical_start_s(house) == 44.0


def test_whoever_gives_up_leaves_the_queue() -> None:
    house = full("a", "b")
    assert queue(give_up(house, "a")) == ["b"]
    assert give_up(house, "nobody") is house


def test_the_next_one_called_gets_the_slot_until_it_is_held() -> None:
    house, called = call_next(leave(full("a", "b"), "holder", 1, 5.0), 6.0, capacity=1)
    assert (called, queue(house)) == ("a", ["b"])
    assert house.slots == {"a": Slot(epoch=0, since=6.0, expires=6.0 + SLOT_S)}
    house = hold(house, "a", 9, 7.0)
    assert house.slots["a"] == Slot(epoch=9, since=6.0, expires=7.0 + SLOT_S, held=True)
    assert leave(house, "a", 9, 16.0).held == (10.0,)


def test_a_called_session_that_asks_for_itself_gets_its_slot() -> None:
    """The holder that called it died, say."""
    house, _ = call_next(leave(full("a"), "holder", 1, 5.0), 6.0, capacity=1)
    house, place = ask(house, "a", 2, 8.0, capacity=1)
    assert (place, house.slots) == (None, {"a": Slot(epoch=2, since=8.0, expires=8.0 + SLOT_S)})


def test_nobody_is_called_who_is_not_heard_or_has_no_room() -> None:
    house = full("a", "b")
    house, _ = ask(house, "b", 2, 30.0, capacity=1)
    assert call_next(house, 31.0, capacity=1) == (house, None)
    house, called = call_next(house, QUEUE_S + 1, capacity=2)
    assert (called, queue(house)) == ("b", [])
    assert call_next(house, QUEUE_S + 1, capacity=2) == (house, None)


@pytest.mark.parametrize(
    ("held", "taken_at", "place", "eta_s"),
    [
        ((), [0.0, 10.0], 1, None),  # nobody has finished: not known
        ((60.0,), [0.0, 10.0], 1, 40.0),  # the first to come will be the first to go
        ((60.0,), [0.0, 10.0], 2, 50.0),
        ((60.0,), [0.0, 10.0], 3, 100.0),  # the second round
        ((60.0, 20.0, 500.0), [0.0, 10.0], 1, 40.0),  # the median
        ((15.0,), [0.0, 10.0], 1, 0.0),  # overdue
        ((60.0,), [0.0, 10.0, 12.0], 1, 50.0),  # one too many: the first to go frees nothing
        ((60.0,), [0.0, 10.0, 12.0], 3, 110.0),
    ],
)
def test_the_estimate_follows_from_what_others_took(
    held: tuple[float, ...], taken_at: list[float], place: int, eta_s: float | None
) -> None:
    now, capacity = 20.0, 2
    house = EMPTY.model_copy(update={"held": held})
    for i, since in enumerate(taken_at):
        house = hold(house, f"holder{i}", 1, since)
    for i in range(place):
        house, got = ask(house, f"s{i}", 1, now, capacity)
    assert got == Place(place=place, eta_s=eta_s)


def test_the_estimate_counts_slots_that_are_free_for_those_ahead() -> None:
    house = full("a", "b").model_copy(update={"held": (60.0,)})
    house, place = ask(leave(house, "holder", 1, 5.0), "b", 1, 6.0, capacity=1)
    assert place == Place(place=2, eta_s=60.0)
    house = hold(house, "x", 1, 6.0)
    assert ask(house, "b", 1, 26.0, capacity=2)[1] == Place(place=2, eta_s=40.0)
    assert ask(house, "b", 1, 26.0, capacity=0)[1] == Place(place=2, eta_s=None)
