"""When the house is full: who has finished serves the next in the queue, in the same invocation."""

import pytest

from lambda_image.slot import Slot
from lambda_image.tasks import Threads
from session.events import ModelStatus, Queue, TurnDone
from session.house import House
from session.inputs import Claimed, Deleted, Disconnected, ModelChosen, Pinged, Skipped
from session.limits import limits
from session.record import Session
from session.store import Conflict
from tests.theatre import WORDS, Parrot, Theatre


def full_house(waiting: int = 1, **parrot: float) -> Theatre:
    """One environment, taken by "s"; `waiting` more listeners, "q0" and so on, are in the queue."""
    theatre = Theatre(Parrot(WORDS, **parrot))
    theatre.runner.apply("s", Skipped(question_id=None))
    for number in range(waiting):
        theatre.enter(f"q{number}", f"d{number}")
        theatre.runner.apply(f"q{number}", Skipped(question_id=None))
    assert theatre.invoked == [1]
    return theatre


def stored(theatre: Theatre, session_id: str) -> Session:
    return theatre.store.heads[session_id]


def test_who_finds_the_house_full_is_told_the_place_at_once() -> None:
    theatre = full_house(waiting=2)
    assert [frame.place for frame in theatre.posted(Queue, to="d0")] == [1]
    assert [frame.place for frame in theatre.posted(Queue, to="d1")] == [2]
    assert theatre.posted(ModelStatus, to="d1")[-1].state == "full"
    assert not stored(theatre, "q0").seat.live(theatre.clock.now)


def test_the_finishing_holder_serves_those_who_wait_in_their_order() -> None:
    theatre = full_house(waiting=2)
    assert theatre.invoke() == {"told": 3, "sessions": 3, "left": "released"}
    assert theatre.invoked == [1]  # nobody was invoked for them
    for session_id in ("s", "q0", "q1"):
        assert [turn.status for turn in theatre.store.turns(session_id)] == ["completed"]
        assert not stored(theatre, session_id).seat.holder
    ended = [to for to, frame in theatre.poster.posted if isinstance(frame, TurnDone)]
    assert ended == ["c", "d0", "d1"]
    house = theatre.store.houses["demo"]
    assert (house.slots, house.queue, len(house.held)) == ({}, (), 3)


def test_nobody_is_called_when_too_little_time_is_left() -> None:
    theatre = full_house()
    theatre.about()
    assert theatre.invoke(seconds=limits().turn_room_s - 1) == {"told": 1, "sessions": 1, "left": "released"}
    theatre.runner.apply("q0", Pinged(turn_id=None))  # the slot is free: its own ping claims it
    assert len(theatre.invoked) == 2
    assert stored(theatre, "q0").model.state == "full"  # until the holder is there
    assert theatre.store.houses["demo"].slots.keys() == {"q0"}


def test_nobody_is_called_by_a_model_that_is_too_slow_for_the_time_left() -> None:
    theatre = full_house(tokens_per_s=1.0)
    theatre.about()
    assert theatre.invoke(seconds=400)["sessions"] == 1


def test_a_holder_that_cannot_load_calls_nobody() -> None:
    def load() -> Parrot:
        raise OSError("weights.bin is damaged")

    theatre = Theatre(load=load)
    theatre.runner.apply("s", Skipped(question_id=None))
    theatre.enter("q0", "d0")
    theatre.runner.apply("q0", Skipped(question_id=None))
    assert theatre.invoke() == {"told": 0, "sessions": 1, "left": "load_failed"}
    assert theatre.store.houses["demo"].slots == {}
    assert [waiting.session_id for waiting in theatre.store.houses["demo"].queue] == ["q0"]


def test_who_has_gone_over_to_another_model_is_not_told_by_this_one() -> None:
    theatre = full_house(waiting=2)
    theatre.runner.capacity.hold("other", "somebody", 1)
    theatre.runner.apply("q0", ModelChosen(name="other", state="cold", typical_s=None))
    assert theatre.posted(Queue, to="d0")[-1].place == 1
    assert theatre.invoke()["sessions"] == 2
    assert theatre.store.turns("q0") == []
    assert [turn.status for turn in theatre.store.turns("q1")] == ["completed"]
    assert not stored(theatre, "q0").seat.holder
    assert theatre.store.houses["demo"].slots == {}
    theatre.runner.capacity.leave("other", "somebody", 1)
    theatre.runner.apply("q0", Pinged(turn_id=None))
    assert len(theatre.invoked) == 2


@pytest.mark.parametrize("left", ["deleted", "unheard"])
def test_who_does_not_wait_any_more_is_passed_over(left: str) -> None:
    theatre = full_house(waiting=2)
    if left == "deleted":
        theatre.runner.apply("q0", Deleted())
    else:
        for _ in range(2):
            theatre.clock.now += limits().queue_s / 2 + 1
            theatre.runner.capacity.hold("demo", "s", 1)
            theatre.runner.apply("q1", Pinged(turn_id=None))
    assert theatre.invoke()["sessions"] == 2
    assert [turn.status for turn in theatre.store.turns("q1")] == ["completed"]
    assert theatre.store.turns("q0") == []
    assert theatre.store.houses["demo"].slots == {}


def test_a_called_listener_who_has_left_is_not_told_to_an_empty_house() -> None:
    theatre = full_house()
    theatre.runner.apply("q0", Disconnected(connection_id="d0"))
    theatre.clock.now += limits().grace_s + 1
    assert theatre.invoke()["left"] == "released"
    assert theatre.store.turns("q0") == []
    assert not stored(theatre, "q0").seat.holder


def test_a_zombie_hands_nothing_on() -> None:
    """Its slot has gone to its session's next epoch: the environment count must not grow."""
    theatre = full_house()

    def next_epoch(index: int) -> None:
        if index == 2:
            head = theatre.session
            seat = head.seat.model_copy(update={"epoch": 2, "holder": ""})
            theatre.store.heads["s"] = head.model_copy(update={"seat": seat, "rev": head.rev + 1})
            theatre.runner.apply("s", Claimed(epoch=2, holder="other"))
            theatre.runner.capacity.hold("demo", "s", 2)

    theatre.narrator.before = next_epoch
    assert theatre.invoke() == {"told": 0, "sessions": 1, "left": "seat_lost"}
    assert theatre.store.houses["demo"].slots["s"].epoch == 2
    assert [waiting.session_id for waiting in theatre.store.houses["demo"].queue] == ["q0"]


class Watch(Threads):
    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


def test_the_lease_is_renewed_every_third_of_it_and_a_busy_house_is_no_harm() -> None:
    theatre, watch = Theatre(), Watch()
    theatre.runner.apply("s", Skipped(question_id=None))
    slot = Slot(theatre.runner, watch, theatre.session, since=0.0)
    expires = []
    for _ in range(7):  # every 10 s, on both clocks
        slot.keep()
        expires.append(theatre.store.houses["demo"].slots["s"].expires - 1_000_000 - limits().slot_s)
        watch.now += 10
        theatre.clock.now += 10
    assert expires == [0, 0, 0, 30, 30, 30, 60]

    def busy(house: House) -> House:
        raise Conflict("others write")

    theatre.store.commit_house = busy  # type: ignore[method-assign]
    watch.now += limits().slot_s
    slot.keep()
    slot.note_start(3.0)
    assert slot.give_back(to_next=True) is None
    assert theatre.store.houses["demo"].starts == ()


def test_a_session_that_was_deleted_before_its_holder_came_holds_no_slot() -> None:
    theatre = full_house()
    theatre.runner.apply("s", Deleted())
    assert theatre.store.houses["demo"].slots.keys() == {"s"}
    assert theatre.invoke()["left"] == "seat_lost"
    assert not theatre.store.houses["demo"].slots
