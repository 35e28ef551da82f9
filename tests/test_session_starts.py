"""The model's coming: lost invokes, starts that fail, a full house, another model."""

import pytest

from session.errors import Refusal
from session.events import ErrorFrame, ModelStatus, Pong, Queue
from session.inputs import (
    Claimed,
    HouseFull,
    InvokeFailed,
    LoadFailed,
    Loading,
    ModelChosen,
    Pinged,
    Ready,
    Resumed,
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
    running,
    say,
    story,
    telling,
    told,
    waiting,
)


def status(play: Play) -> ModelStatus:
    found = play.posted(ModelStatus)
    assert len(found) == 1
    assert isinstance(found[0], ModelStatus)
    return found[0]


def pings(play: Play, seconds: float, every: float = 10.0) -> Play:
    for _ in range(int(seconds / every)):
        play.now += every
        play(Pinged(turn_id=None))
    return play


# ---- settling -------------------------------------------------------------------------------------------


def test_a_lost_invoke_is_made_again_when_the_seat_expires() -> None:
    play = awaiting()
    play.now += limits().seat_s - 1
    assert play(Pinged(turn_id=None)).invoked() == []
    play.now += 2
    assert play(Pinged(turn_id=None)).invoked() == [2]


def test_a_start_that_never_comes_fails_after_five_minutes() -> None:
    play = pings(awaiting(), limits().start_limit_s + limits().seat_s)
    assert play.session.model.state == "failed"
    assert play.session.model.message == "The model did not come within 5 minutes."
    assert "cue:failed" in play.session.dialogue.log
    assert play(Pinged(turn_id=None)).invoked() == []  # not for ever


def test_a_waiting_turn_ends_with_the_start_that_never_came() -> None:
    play = pings(waiting(), limits().start_limit_s + limits().seat_s)
    assert (play.archive[-1].turn_id, play.archive[-1].finish_reason) == ("t1", "model_failed")
    assert play(say("t2")).invoked()  # saying something tries again


def test_a_holder_that_died_in_mid_reply_leaves_an_incomplete_turn() -> None:
    play = telling()
    play.now += limits().seat_s + 1
    play(Pinged(turn_id=OPENING_TURN))
    assert (play.archive[-1].status, play.archive[-1].finish_reason) == ("incomplete", "lost")
    assert play.session.model.state == "resting"


def test_a_holder_that_died_between_ready_and_release_is_noticed() -> None:
    play = begin()(Woken())(Claimed(epoch=1, holder="r1"))(Ready(epoch=1, seed=5))
    play.now += limits().seat_s + 1
    assert status(play(Pinged(turn_id=None))).state == "resting"
    assert play.invoked() == []


def test_a_turn_left_to_a_holder_that_died_gets_another() -> None:
    play = finish(running(), "t1")(say("t2"))
    play.now += limits().seat_s + 1
    assert play(Pinged(turn_id="t2")).invoked() == [3]
    assert play.session.model.state == "starting"


def test_wake_ends_the_turn_of_a_dead_holder_before_it_calls_another() -> None:
    play = running()
    play.now += limits().seat_s + 1
    play(Woken())
    assert play.archive[-1].status == "incomplete"
    assert play.session.live is None
    assert play.invoked() == [4]


def test_a_start_that_began_before_a_long_absence_is_given_its_time_again() -> None:
    play = waiting()
    play.session = play.session.model_copy(update={"connection_id": None, "gone_at": play.now})
    play.now += 3600
    assert play(Resumed(connection_id="c2")).invoked() == [3]
    assert play.session.model.woken_at == play.now
    full = queued()
    full.session = full.session.model_copy(update={"connection_id": None, "gone_at": full.now})
    full.now += 3600
    assert full(Resumed(connection_id="c2")).invoked() == [4]
    assert full.session.model.state == "full"


def test_a_ping_tells_how_far_the_prologue_is() -> None:
    play = story()(Pinged(turn_id=None))
    assert play.posted(Pong) == [Pong(seq=len(play.session.dialogue.log))]


# ---- starts that fail -----------------------------------------------------------------------------------


def test_a_failed_load_is_told_and_can_be_tried_again() -> None:
    play = failed()
    assert (status(play).state, status(play).message) == ("failed", "weights.bin is damaged")
    with pytest.raises(Refusal, match="model_failed"):
        play(say())
    with pytest.raises(SeatLost):
        play(Claimed(epoch=1, holder="late"))  # its epoch is spent
    assert play(Woken()).invoked() == [3]


def test_a_refused_invoke_fails_the_waiting_turn_and_says_why() -> None:
    play = waiting()(InvokeFailed(epoch=2, message="All places are taken."))
    assert play.archive[-1].status == "failed"
    assert play.session.model.message == "All places are taken."
    assert "cue:failed" not in play.session.dialogue.log  # the prologue is over


def test_what_may_succeed_a_little_later_is_tried_again_with_the_next_ping() -> None:
    play = waiting()(InvokeFailed(epoch=2, message="throttled", again=True))
    assert play.actions == []
    assert (play.session.model.state, play.session.live is not None) == ("starting", True)
    play.now += 10
    assert play(Pinged(turn_id="t1")).invoked() == [4]
    assert play(InvokeFailed(epoch=2, message="throttled", again=True)).actions == []  # late


def test_but_not_for_ever() -> None:
    play = waiting()
    for _ in range(40):
        play(InvokeFailed(epoch=play.session.seat.epoch, message="throttled", again=True))
        play = pings(play, 10)
        if play.session.live is None:
            break
    assert limits().start_limit_s <= play.now - 1000 <= limits().start_limit_s + 20
    assert play.archive[-1].finish_reason == "model_failed"


def test_once_a_holder_came_a_failure_is_a_crash() -> None:
    play = running()(InvokeFailed(epoch=2, message="x", again=True))
    assert play.archive[-1].status == "incomplete"
    play = waiting()(Claimed(epoch=2, holder="r1"))(InvokeFailed(epoch=2, message="x", again=True))
    assert play.archive[-1].status == "failed"


def test_wake_while_the_model_is_awake_only_tells_its_state() -> None:
    play = telling()(Woken())
    assert play.invoked() == []
    assert status(play).state == "ready"


# ---- estimates ------------------------------------------------------------------------------------------


def test_the_estimate_comes_from_earlier_starts_then_from_the_bytes() -> None:
    play = begin()
    model = play.session.model.model_copy(update={"typical_s": 50.0})
    play.session = play.session.model_copy(update={"model": model})
    assert status(play(Skipped(question_id=None))).eta_s == 50.0
    play.now += 20
    assert status(play(Woken())).eta_s == 30.0
    play.now += 60
    assert status(play(Woken())).eta_s == 0.0  # later than ever: no number is made up
    play(Claimed(epoch=1, holder="r1"))(Loading(epoch=1, loaded_bytes=1, total_bytes=4, eta_s=7.5187234871))
    assert status(play).eta_s == 7.5
    assert status(play(Ready(epoch=1, seed=1))).eta_s is None


def test_nobody_knows_how_long_an_environment_takes_that_may_be_awake() -> None:
    play = story()
    model = play.session.model.model_copy(update={"typical_s": 50.0})
    play.session = play.session.model_copy(update={"model": model})
    assert play.session.model.state == "resting"
    assert status(play(say())).eta_s is None


# ---- a full house ---------------------------------------------------------------------------------------


def test_a_full_house_is_told_at_once_with_the_place_and_the_estimate() -> None:
    play = queued()
    assert play.posted(Queue) == [Queue(place=2, eta_s=40.0)]
    assert (status(play).state, status(play).eta_s) == ("full", None)
    assert play.session.live is not None
    with pytest.raises(SeatLost):
        play(Claimed(epoch=2, holder="r1"))  # that epoch is spent


def test_each_ping_asks_again_quietly_and_only_news_are_told() -> None:
    play = queued()
    for place, news in ((2, []), (1, [Queue(place=1, eta_s=20.0)]), (1, [])):
        play.now += 10
        play(Pinged(turn_id="t1"))
        assert not play.posted(ModelStatus)
        assert len(play.invoked()) == 1
        play(HouseFull(epoch=play.session.seat.epoch, place=place, eta_s=20.0))
        assert play.posted(Queue) == news
        assert not play.posted(ModelStatus)
    assert (play.session.queued_at, play.session.place) == (1000.0, 1)


def test_once_admitted_the_turn_is_told_like_any_other() -> None:
    play = queued()(Pinged(turn_id="t1"))
    epoch = play.session.seat.epoch
    assert play(Pinged(turn_id="t1")).invoked() == []
    assert status(play(Claimed(epoch=epoch, holder="r1"))).state == "starting"
    assert (play.session.queued_at, play.session.place) == (0.0, 0)
    assert finish(hold(play, "r1"), "t1").archive[-1].status == "completed"


def test_a_listener_who_comes_back_or_says_wake_is_told_their_place() -> None:
    for event in (Resumed(connection_id="c2"), Woken()):
        play = queued()(event)
        assert play.posted(Queue) == [Queue(place=2, eta_s=40.0)]
        assert play.invoked() == [4]


def test_a_queued_listener_waits_as_long_as_there_is_a_queue_but_not_for_ever() -> None:
    play = queued()
    began = play.now
    while play.session.live is not None and play.now < began + 10_000:
        pings(play, 10)
        play(HouseFull(epoch=play.session.seat.epoch, place=2, eta_s=40.0))
    assert limits().queue_limit_s <= play.now - began <= limits().queue_limit_s + 20
    assert play.archive[-1].finish_reason == "house_full"


def test_an_admitted_start_that_never_comes_fails_like_any_other() -> None:
    play = pings(queued(), limits().start_limit_s + 2 * limits().seat_s)
    assert play.archive[-1].finish_reason == "model_failed"


def test_when_the_queue_is_full_too_the_turn_ends_honestly() -> None:
    play = waiting()(HouseFull(epoch=2, place=None, eta_s=None))
    assert (play.archive[-1].status, play.archive[-1].finish_reason) == ("failed", "house_full")
    error = play.posted(ErrorFrame)[0]
    assert isinstance(error, ErrorFrame)
    assert error.code == "house_full"
    assert status(play).state == "failed"


def test_before_the_story_a_full_queue_is_a_failed_start_that_can_be_tried_again() -> None:
    play = awaiting()(HouseFull(epoch=1, place=None, eta_s=None))
    assert not play.posted(ErrorFrame)
    assert status(play).message == "Every place is taken, and so is the queue."
    assert "cue:failed" in play.session.dialogue.log
    assert play(Woken()).invoked() == [3]


def test_late_news_of_a_full_house_change_nothing() -> None:
    for play in (running(), queued(), told()):
        before = play.session
        for epoch in (1, 2, 3):
            assert play(HouseFull(epoch=epoch, place=1, eta_s=None)).session is before


def test_the_prologue_ends_while_the_house_is_full() -> None:
    play = begin()(Woken())(HouseFull(epoch=1, place=1, eta_s=None))
    assert play(Skipped(question_id=None)).posted(Queue)
    assert play.invoked() == [3]


def test_a_throttled_invoke_of_an_admitted_session_is_tried_again() -> None:
    play = queued()(Pinged(turn_id="t1"))
    play(InvokeFailed(epoch=play.session.seat.epoch, message="throttled", again=True))
    assert (play.session.model.state, play.session.place) == ("full", 2)
    assert play(Pinged(turn_id="t1")).invoked()


# ---- another model --------------------------------------------------------------------------------------


def other() -> ModelChosen:
    return ModelChosen(name="other", state="resting", typical_s=12.0)


def test_another_model_tells_the_story_from_here_on() -> None:
    play = told()(other())
    assert (play.session.model_name, status(play).name, status(play).state) == ("other", "other", "resting")
    assert play.session.model.typical_s == 12.0
    assert play.invoked() == []  # nothing waits
    assert play(say("t2")).invoked() == [3]


def test_a_model_that_is_awaited_is_called_in_place_of_the_old_one() -> None:
    for play in (awaiting(), failed(), begin()(Woken())):
        play(other())
        assert play.invoked() == [play.session.seat.epoch]
        assert status(play).state == "starting"
        with pytest.raises(SeatLost):
            play(Claimed(epoch=1, holder="r1"))


def test_before_the_first_wish_to_wake_nothing_is_called() -> None:
    play = begin()(other())
    assert play.invoked() == []
    assert play(Skipped(question_id=None)).invoked() == [1]


def test_a_queue_is_left_with_the_model_that_it_was_for() -> None:
    play = awaiting()(HouseFull(epoch=1, place=4, eta_s=None))(other())
    assert (play.session.model.state, play.session.place, play.session.queued_at) == ("starting", 0, 0.0)


def test_not_while_a_turn_runs_but_the_same_name_changes_nothing_anyway() -> None:
    for play in (running(), waiting()):
        with pytest.raises(Refusal, match="turn_running"):
            play(other())
        before = play.session
        play(ModelChosen(name="demo", state="cold", typical_s=None))
        assert play.session is before
        assert status(play).name == "demo"


def test_a_load_that_fails_in_the_story_fails_the_waiting_turn() -> None:
    play = waiting()(Claimed(epoch=2, holder="r1"))(LoadFailed(epoch=2, message="damaged"))
    assert (play.archive[-1].status, play.archive[-1].finish_reason) == ("failed", "model_failed")
