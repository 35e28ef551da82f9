"""When the model rests for the day, and how often it is woken for nothing."""

import pytest

from session.errors import Refusal
from session.events import ErrorFrame, Frame, ModelStatus, TurnDone
from session.inputs import (
    Answered,
    Called,
    Claimed,
    Deleted,
    HouseFull,
    InvokeFailed,
    LoadFailed,
    ModelChosen,
    Pinged,
    Ready,
    Rested,
    Resumed,
    Skipped,
    Woken,
)
from session.limits import limits
from tests.playing import (
    Play,
    awaiting,
    begin,
    failed,
    finish,
    hold,
    queued,
    release,
    resting,
    running,
    say,
    story,
    told,
    waiting,
)

MIDNIGHT = 86_400.0
MESSAGE = "The narrator has talked enough for today; back at 00:00 UTC."


def last(play: Play, kind: type[Frame]) -> Frame:
    return play.posted(kind)[-1]


def status(play: Play) -> ModelStatus:
    found = last(play, ModelStatus)
    assert isinstance(found, ModelStatus)
    return found


def spent(play: Play, *, own: bool = False) -> Play:
    return play(Rested(epoch=play.session.seat.epoch, until=MIDNIGHT, own=own))


# ---- the day's model seconds are spent ------------------------------------------------------------------


def test_a_waiting_turn_fails_and_says_when_the_narrator_is_back() -> None:
    play = spent(waiting())
    assert play.kinds() == ["error", "turn.done", "model.status"]
    error, done = last(play, ErrorFrame), last(play, TurnDone)
    assert isinstance(error, ErrorFrame)
    assert isinstance(done, TurnDone)
    assert (error.code, error.message) == ("daily_cap", MESSAGE)
    assert (done.status, done.finish_reason) == ("failed", "daily_cap")
    assert (status(play).state, status(play).message) == ("resting", MESSAGE)
    assert (play.session.seat.expires, play.session.live) == (0.0, None)


def test_whoever_has_spent_their_own_share_is_told_so() -> None:
    assert status(spent(awaiting(), own=True)).message == (
        "The narrator has talked enough with you for today; back at 00:00 UTC."
    )


def test_the_prologue_goes_on_and_the_faq_answers() -> None:
    play = spent(begin()(Answered(question_id="name", choice=None, text="Ada")))
    assert status(play).state == "resting"
    assert play(Skipped(question_id="companion")).invoked() == []
    assert play(say("q", "What is this?", faq="A story house.")).archive[-1].status == "completed"
    assert play(Skipped(question_id=None)).invoked() == [3]  # asks once more: there is a scene to be told


def test_nobody_asks_by_themselves_before_the_day_is_over() -> None:
    play = resting()
    for _ in range(20):
        play.now += 10
        assert play(Pinged(turn_id=None)).invoked() == []
    assert play.kinds() == ["pong"]
    play(Resumed(connection_id="c2"))
    assert (play.invoked(), status(play).message) == ([], MESSAGE)


def test_an_opening_scene_that_is_awaited_comes_with_the_new_day() -> None:
    play = resting()
    play.now = MIDNIGHT
    assert play(Pinged(turn_id=None)).invoked() == [3]
    assert (status(play).state, status(play).message) == ("starting", None)
    assert hold(play).session.live is not None


def test_the_next_day_nothing_is_said_of_the_last_one() -> None:
    play = spent(waiting())
    play.now = MIDNIGHT
    assert status(play(Resumed(connection_id="c2"))).message is None


def test_whoever_asks_for_the_model_is_heard_again() -> None:
    assert resting()(Woken()).invoked() == [3]
    assert spent(waiting())(say("t2")).invoked() == [4]
    with pytest.raises(Refusal, match=f"daily_cap: {MESSAGE}"):
        resting()(say("t2"))


def test_a_new_try_whose_answer_got_lost_is_settled_as_ever() -> None:
    play = spent(waiting())(say("t2"))
    play.now += limits().seat_s + 1
    assert play(Pinged(turn_id="t2")).invoked() == [5]


def test_a_late_answer_changes_nothing() -> None:
    for play in (waiting(), told(), running()):
        before = play.session
        play(Rested(epoch=play.session.seat.epoch - 1, until=MIDNIGHT))
        assert play.session is before
    for play in (told(), running(), resting()):  # nobody was asked for; who tells is not cut short; again
        before = play.session
        assert spent(play).session is before
    assert told()(Deleted())(Rested(epoch=9, until=MIDNIGHT)).kinds() == []


def test_a_queued_listener_whom_a_holder_comes_to_can_be_sent_to_rest() -> None:
    play = queued()(Called(holder="r8"))
    assert spent(play).archive[-1].finish_reason == "daily_cap"
    assert (play.session.queued_at, play.session.place) == (0.0, 0)


def test_a_holder_that_comes_all_the_same_ends_the_rest() -> None:
    play = resting()(Called(holder="r8"))
    play.now += limits().seat_s + 1  # and died at once
    assert play(Pinged(turn_id=None)).invoked()


def test_who_pays_is_who_came_last() -> None:
    play = begin()(Resumed(connection_id="c2", payer="address:b"))
    assert play.session.payer == "address:b"
    assert play(Resumed(connection_id="c3")).session.payer == "address:b"  # not known this time


# ---- woken for nothing ----------------------------------------------------------------------------------


def woken_in_vain() -> Play:
    play = begin()(Woken())(Claimed(epoch=1, holder="r1"))(Ready(epoch=1, seed=5))
    return release(play)


def test_a_model_that_was_not_needed_is_woken_again_ten_minutes_later() -> None:
    play = woken_in_vain()
    play.now += 240
    assert play(Woken()).invoked() == []
    assert (status(play).state, status(play).message) == (
        "resting",
        "The narrator was woken a while ago and not needed. It comes as soon as the story needs it; "
        "just to wake it, try again in 6 min.",
    )
    assert play.session.model.message is None  # said once, to whoever asked
    play.now += limits().wake_pause_s - 240
    assert play(Woken()).invoked() == [2]


def test_the_story_never_waits_for_that() -> None:
    assert woken_in_vain()(Skipped(question_id=None)).invoked() == [2]
    play = story()(Woken())
    assert play.invoked() == [2]
    release(play(Claimed(epoch=2, holder="r2"))(Ready(epoch=2, seed=5)))
    assert play(Woken()).invoked() == []
    assert play(say("t1")).invoked() == [3]


def test_a_start_that_was_of_use_does_not_count() -> None:
    play = woken_in_vain()(Skipped(question_id=None))
    release(finish(hold(play)))
    assert play(Woken()).invoked() == [3]


def test_a_start_that_failed_or_was_refused_does_not_count() -> None:
    begun = begin()(Woken())(Claimed(epoch=1, holder="r1"))(LoadFailed(epoch=1, message="damaged"))
    refused = begin()(Woken())(InvokeFailed(epoch=1, message="refused"))
    full = begin()(Woken())(HouseFull(epoch=1, place=None, eta_s=None))
    for play in (begun, refused, full, spent(begin()(Woken()))):
        assert play(Woken()).invoked(), play.session


def test_another_model_is_not_woken_for_one_that_was_not_needed() -> None:
    other = ModelChosen(name="other", state="cold", typical_s=None)
    play = woken_in_vain()(other)
    assert (play.invoked(), status(play).state) == ([], "cold")
    play.now += limits().wake_pause_s
    assert play(ModelChosen(name="demo", state="cold", typical_s=None)).invoked()
    assert begin()(Woken())(other).invoked() == [3]  # it takes the place of one that has not come


def test_a_failed_start_is_tried_again_at_once_and_then_every_ten_seconds() -> None:
    play = failed()(Woken())
    assert play.invoked() == [3]
    assert "line" in play.kinds()[0]  # in character, before the story has begun
    play(Claimed(epoch=3, holder="r3"))(LoadFailed(epoch=3, message="weights.bin is damaged."))
    play.now += 4
    assert play(Woken()).invoked() == []
    assert play.kinds() == ["model.status"]
    assert status(play).message == "weights.bin is damaged. Try again in 6 s."
    play.now += 6
    assert play(Woken()).invoked() == [5]


def test_in_the_story_a_new_try_is_made_without_a_word() -> None:
    play = waiting()(Claimed(epoch=2, holder="r2"))(LoadFailed(epoch=2, message="damaged"))
    assert (play(Woken()).invoked(), play.kinds()) == ([4], ["model.status"])


def test_the_keys_of_a_repeated_hello_are_kept() -> None:
    play = begin()(Resumed(connection_id="c1", resume_key="k2", resume_hash="h h2"))
    assert play.session.resume_hash == "h h2"
