"""Seats: who may speak for the model. Rightful is the newest epoch, whatever any clock says."""

from collections.abc import Callable

import pytest

from session.inputs import (
    Began,
    Called,
    Claimed,
    Deleted,
    Finished,
    Input,
    InvokeFailed,
    LoadFailed,
    Loading,
    ModelChosen,
    Pinged,
    Ready,
    Released,
    Renewed,
    Skipped,
    Woken,
)
from session.limits import limits
from session.record import OPENING_TURN
from session.step import SeatLost
from tests.playing import (
    Play,
    awaiting,
    begin,
    failed,
    finish,
    hold,
    queued,
    release,
    running,
    say,
    story,
    told,
)

HOLDER_INPUTS: list[Input] = [
    Claimed(epoch=1, holder="r1"),
    Loading(epoch=1, loaded_bytes=1, total_bytes=2, eta_s=None),
    Ready(epoch=1, seed=1),
    LoadFailed(epoch=1, message="x"),
    Began(epoch=1),
    Renewed(epoch=1),
    Finished(epoch=1, turn_id="opening", version=1, status="completed", finish_reason="stop"),
    Released(epoch=1, work_seq=0),
]


def names(event: Input) -> str:
    return type(event).__name__


def test_a_duplicate_invocation_may_not_claim_a_held_seat() -> None:
    play = awaiting()(Claimed(epoch=1, holder="r1"))
    with pytest.raises(SeatLost):
        play(Claimed(epoch=1, holder="r2"))
    assert play(Claimed(epoch=1, holder="r1")).session.seat.holder == "r1"  # its own, repeated


def test_nor_one_that_was_released() -> None:
    play = story()
    with pytest.raises(SeatLost):
        play(Claimed(epoch=1, holder="r2"))
    with pytest.raises(SeatLost):
        play(Claimed(epoch=1, holder="r1"))


@pytest.mark.parametrize("event", HOLDER_INPUTS, ids=names)
def test_a_zombie_of_an_older_epoch_can_do_nothing(event: Input) -> None:
    play = awaiting()
    play.now += limits().seat_s + 1
    play(Pinged(turn_id=None))
    assert play.session.seat.epoch == 2
    before = play.session
    with pytest.raises(SeatLost):
        play(event)
    assert play.session is before


@pytest.mark.parametrize("event", HOLDER_INPUTS, ids=names)
@pytest.mark.parametrize("skew", [-60.0, 60.0])
def test_a_minute_of_skew_helps_no_zombie_and_harms_no_holder(skew: float, event: Input) -> None:
    play = awaiting()
    play.now += limits().seat_s + 1
    play(Pinged(turn_id=None))
    play.now += skew
    with pytest.raises(SeatLost):
        play(event)
    hold(play)
    assert finish(play).archive[-1].status == "completed"


def test_a_holder_with_a_slow_clock_still_has_half_a_minute_for_each_renewal() -> None:
    play = awaiting()
    play.now -= 60
    play(Claimed(epoch=1, holder="r1"))
    play.now += 60 + limits().renew_s
    assert play.session.seat.live(play.now)
    assert play(Pinged(turn_id=None)).invoked() == []


def test_a_holder_that_released_can_do_nothing() -> None:
    play = story()
    with pytest.raises(SeatLost):
        play(Began(epoch=1))


def test_every_step_of_the_holder_renews_its_seat() -> None:
    play = awaiting()(Claimed(epoch=1, holder="r1"))
    play.now += 60
    assert play(Renewed(epoch=1)).session.seat.expires == play.now + limits().seat_s
    play.now += 60
    assert play(Ready(epoch=1, seed=1)).session.seat.expires == play.now + limits().seat_s


def test_a_holder_stays_if_work_came_since_it_looked() -> None:
    play = begin()(Woken())(Claimed(epoch=1, holder="r1"))(Ready(epoch=1, seed=5))
    seen = play.session.work_seq
    assert play(Skipped(question_id=None)).invoked() == []
    play(Released(epoch=1, work_seq=seen))
    assert play.session.seat.holder == "r1"
    assert play.session.model.state == "ready"


def test_a_holder_that_leaves_in_mid_reply_ends_the_turn() -> None:
    play = release(running())
    assert (play.archive[-1].status, play.session.model.state) == ("incomplete", "resting")
    assert play.session.seat.expires == 0.0


def test_a_turn_said_while_a_holder_is_there_is_left_to_it() -> None:
    play = finish(running(), "t1")
    seen = play.session.work_seq
    assert play(say("t2")).invoked() == []
    assert play.actions == []
    play(Released(epoch=2, work_seq=seen))(Began(epoch=2))
    assert play.session.live is not None
    assert play.session.live.status == "running"


def test_another_model_or_deletion_silences_the_holder_at_once() -> None:
    for event in (ModelChosen(name="other", state="cold", typical_s=None), Deleted()):
        play = finish(running(), "t1")(event)
        with pytest.raises(SeatLost):
            play(Renewed(epoch=2))


def test_a_crash_in_mid_reply_keeps_the_text_and_a_late_report_changes_nothing() -> None:
    play = running()(InvokeFailed(epoch=2, message="crash"))
    assert (play.archive[-1].status, play.archive[-1].text) == ("incomplete", "You step through it.")
    before = play.session
    assert play(InvokeFailed(epoch=2, message="crash")).session is before


def test_a_report_that_comes_when_the_seat_has_run_out_still_counts() -> None:
    play = running()
    play.now += limits().seat_s + 1
    assert play(InvokeFailed(epoch=2, message="crash")).archive[-1].status == "incomplete"


def test_an_invocation_that_fails_after_its_work_was_done_spoils_nothing() -> None:
    play = finish(running(), "t1")(InvokeFailed(epoch=2, message="crash"))
    assert play.session.model.state == "cold"
    assert play.kinds() == ["model.status"]
    before = release(finish(running(), "t1"))
    session = before.session
    assert before(InvokeFailed(epoch=2, message="crash")).session is session  # after it left


# ---- a holder that comes by itself ----------------------------------------------------------------------


def test_a_holder_that_is_called_takes_the_seat_and_serves() -> None:
    play = queued()
    epoch = play.session.seat.epoch + 1
    play(Called(holder="r8"))
    assert (play.session.seat.epoch, play.session.seat.holder) == (epoch, "r8")
    assert (play.session.model.state, play.session.queued_at, play.session.place) == ("starting", 0.0, 0)
    assert play.kinds() == ["model.status"]
    play(Ready(epoch=epoch, seed=1))(Began(epoch=epoch))
    assert finish(play, "t1").archive[-1].status == "completed"
    with pytest.raises(SeatLost):
        play(Claimed(epoch=epoch - 1, holder="r3"))  # the invocation that was asked for last


def test_the_opening_scene_and_a_mere_wish_to_wake_can_be_called_too() -> None:
    play = awaiting()
    play.now += limits().seat_s + 1
    play(Called(holder="r8"))(Ready(epoch=2, seed=1))(Began(epoch=2))
    assert play.session.live is not None
    assert play.session.live.turn_id == OPENING_TURN
    wish = begin()(Woken())
    wish.now += limits().seat_s + 1
    assert wish(Called(holder="r8")).session.seat.holder == "r8"


def _dead_holder() -> Play:
    play = running()
    play.now += limits().seat_s + 1
    return play


@pytest.mark.parametrize("state", [begin, story, told, failed, awaiting, running, _dead_holder])
def test_nobody_is_called_where_nothing_waits_or_a_seat_is_live(state: Callable[[], Play]) -> None:
    play = state()
    before = play.session
    with pytest.raises(SeatLost):
        play(Called(holder="r8"))
    assert play.session is before
