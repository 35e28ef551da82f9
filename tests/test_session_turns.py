"""Turns: each is told once, ends once, and is answered the same when it is said again."""

from collections.abc import Callable

import pytest

from session.actions import Post, PostSnapshot
from session.errors import Refusal
from session.events import Saved, TurnDelta, TurnDone, TurnRemoved, TurnStarted, TurnSuggestions
from session.inputs import Began, Claimed, HouseFull, Pinged, Ready, Said, Stopped
from session.limits import limits
from session.record import OPENING_TURN
from session.step import SeatLost
from tests.playing import (
    Play,
    awaiting,
    begin,
    failed,
    finish,
    from_faq,
    hold,
    queued,
    running,
    say,
    story,
    telling,
    told,
    undone,
    waiting,
)


def only_done(play: Play) -> TurnDone:
    done = play.posted(TurnDone)
    assert len(done) == 1
    assert isinstance(done[0], TurnDone)
    return done[0]


def test_a_turn_takes_the_seat_is_told_and_archived_once() -> None:
    play = story()(say())
    assert play.invoked() == [2]
    hold(play)
    assert play.posted(TurnStarted) == [TurnStarted(turn_id="t1", version=1, source="model")]
    finish(play.write("Hello."), "t1")
    first = only_done(play)
    assert (first.status, first.length) == ("completed", 6)
    assert [(turn.turn_id, turn.number) for turn in play.archive] == [(OPENING_TURN, 0), ("t1", 1)]
    before = play.session
    assert (
        only_done(finish(play, "t1")) == first
    )  # the answer to the write was lost: the holder says it again
    assert (play.session.turns, play.session.spent) == (before.turns, before.spent)
    with pytest.raises(SeatLost):
        finish(play, OPENING_TURN)


def test_a_turn_that_is_not_told_cannot_be_finished() -> None:
    with pytest.raises(SeatLost):
        finish(awaiting()(Claimed(epoch=1, holder="r1")), "t1")
    with pytest.raises(SeatLost):
        finish(running(), "t1", version=2)


def test_a_turn_that_began_is_announced_again_if_the_holder_says_so_again() -> None:
    play = telling()
    first = play.actions
    assert play(Began(epoch=1)).actions == first
    finish(play)
    assert play(Began(epoch=1)).actions == []  # stopped in the last moment, say


def test_suggestions_follow_the_opening_scene_only() -> None:
    assert not finish(running(), "t1").posted(TurnSuggestions)


def test_a_second_say_while_a_turn_runs_is_refused_but_the_same_one_is_not() -> None:
    play = story()(say())
    with pytest.raises(Refusal, match="turn_running"):
        play(say("t2"))
    assert play(say("t1")).posted(TurnStarted)
    assert play.invoked() == []


def test_a_finished_turn_said_again_is_told_how_it_ended() -> None:
    play = told()
    assert only_done(play(say("t1"))).turn_id == "t1"
    assert only_done(play(Pinged(turn_id="t1"))).turn_id == "t1"
    assert PostSnapshot() in play(say(OPENING_TURN)).actions  # older: only the whole story tells
    assert [turn.turn_id for turn in play.archive] == [OPENING_TURN, "t1"]


def test_an_undone_turn_said_again_stays_undone() -> None:
    play = told()
    play(undone(play))
    for again in (say("t1"), Pinged(turn_id="t1"), Stopped(turn_id="t1")):
        assert play(again).posted(TurnRemoved) == [TurnRemoved(turn_id="t1")]
        assert play.session.live is None
        assert play.session.tombstones == ()


@pytest.mark.parametrize(
    ("state", "event", "code"),
    [
        (begin, say(), "story_not_begun"),
        (awaiting, say(), "story_not_begun"),
        (failed, say(), "model_failed"),
        (story, say(text=" \n "), "empty_text"),
        (story, say(text="x" * (limits().say_chars + 1)), "text_too_long"),
        (begin, say(OPENING_TURN, faq="It is."), "invalid_frame"),
        (running, say("t2", faq="It is."), "turn_running"),
    ],
)
def test_what_cannot_be_said(state: Callable[[], Play], event: Said, code: str) -> None:
    play = state()
    before = play.session
    with pytest.raises(Refusal, match=code):
        play(event)
    assert play.session is before


# ---- the FAQ --------------------------------------------------------------------------------------------


def test_the_faq_answers_at_any_time_without_the_model() -> None:
    play = begin()(say(faq="It is a story house."))
    assert [type(a.frame) for a in play.actions if isinstance(a, Post)] == [TurnStarted, TurnDelta, TurnDone]
    assert play.invoked() == []
    assert play.archive[-1].source == "faq"
    assert play.session.live is None
    assert play.session.last is not None
    assert (play.session.last.turn_id, play.session.last.source) == ("t1", "faq")


def test_what_the_faq_saved_is_told_and_summed_up() -> None:
    saved = Saved(seconds=2.0, cost_usd=0.001, energy_wh=0.5)
    play = begin()
    for turn_id in ("q1", "q2"):
        play(Said(turn_id=turn_id, text="What is this?", seed=1, faq="A story house.", saved=saved))
        assert only_done(play).saved == saved
    assert play.session.saved == Saved(seconds=4.0, cost_usd=0.002, energy_wh=1.0)


def test_a_faq_turn_keeps_its_number_among_the_others() -> None:
    play = from_faq()(say("t2"))
    assert play.session.live is not None
    assert (play.archive[-1].number, play.session.live.number) == (1, 2)


# ---- stop -----------------------------------------------------------------------------------------------


def test_stop_of_a_running_turn_raises_the_flag_for_its_holder() -> None:
    play = telling()(Stopped(turn_id=OPENING_TURN))
    assert play.session.stop
    assert play.actions == []
    finish(play, status="stopped", reason="stopped")
    assert not play.session.stop
    assert play.archive[-1].status == "stopped"


@pytest.mark.parametrize(
    ("seen", "kept"), [(None, "You step 🐦."), (9, "You step "), (0, ""), (99, "You step 🐦.")]
)
def test_a_stopped_turn_ends_where_the_screen_stood_still(seen: int | None, kept: str) -> None:
    play = hold(waiting()).write("You step ").write("🐦.")
    play(Stopped(turn_id="t1", version=1, seen=seen))
    play(Stopped(turn_id="t1", version=1, seen=3))  # the first one counts
    finish(play, "t1", status="stopped", reason="stopped")
    assert play.archive[-1].text == kept
    assert only_done(play).length == len(kept)
    assert play.session.last is not None
    assert play.session.last.length == len(kept)
    assert play.session.stop_seen is None


def test_a_stop_stored_before_the_end_counts_even_if_the_model_was_through() -> None:
    play = finish(running()(Stopped(turn_id="t1", seen=3)), "t1")
    assert (play.archive[-1].status, play.archive[-1].text) == ("stopped", "You")


def test_stop_of_a_waiting_turn_ends_it_at_once_and_the_model_is_not_awaited_any_more() -> None:
    play = waiting()(Stopped(turn_id="t1"))
    assert play.archive[-1].status == "stopped"
    assert play.session.live is None
    assert play.session.model.state == "cold"
    play.now += limits().seat_s + 1
    assert play(Pinged(turn_id=None)).invoked() == []  # had the invoke been lost


def test_the_model_that_comes_after_all_is_used_for_the_next_turn() -> None:
    play = waiting()(Stopped(turn_id="t1"))(say("t2"))
    assert play.invoked() == []  # it is on its way
    assert play.kinds() == ["model.status"]
    assert play.session.model.state == "starting"
    play = waiting()(Stopped(turn_id="t1"))(Claimed(epoch=2, holder="r2"))
    assert play.kinds() == ["model.status"]
    assert play(Ready(epoch=2, seed=1)).session.model.state == "ready"


def test_stop_of_a_turn_in_the_queue_leaves_the_queue() -> None:
    play = queued()(Stopped(turn_id="t1"))
    assert (play.session.model.state, play.session.queued_at, play.session.place) == ("cold", 0.0, 0)
    assert play(Pinged(turn_id=None)).invoked() == []


def test_a_stop_while_nobody_knows_whether_there_is_a_place() -> None:
    play = waiting()(Stopped(turn_id="t1"))(HouseFull(epoch=2, place=3, eta_s=None))
    assert play.session.model.state == "cold"
    assert play.actions == []


def test_stop_of_a_turn_that_a_holder_is_about_to_take_leaves_the_model_as_it_is() -> None:
    play = waiting()(Claimed(epoch=2, holder="r2"))(Stopped(turn_id="t1"))
    assert play.session.model.state == "starting"
    assert play.kinds() == ["turn.done"]


def test_a_stop_that_overtakes_its_turn_ends_it_when_it_comes() -> None:
    play = story()(Stopped(turn_id="t1"))
    before = play.session
    assert play(Stopped(turn_id="t1")).session is before  # sent twice
    play(say("t1"))
    assert play.invoked() == []
    assert play.archive[-1].status == "stopped"
    assert play.session.tombstones == ()


def test_only_so_many_early_stops_are_kept() -> None:
    play = story()
    for i in range(limits().tombstones + 3):
        play(Stopped(turn_id=f"x{i}"))
    assert len(play.session.tombstones) == limits().tombstones
    assert play.session.tombstones[-1].startswith(f"x{limits().tombstones + 2}")


def test_a_stop_that_comes_too_late_is_told_how_the_turn_ended() -> None:
    play = told()
    assert only_done(play(Stopped(turn_id="t1", version=1, seen=4))).length == len("You step through it.")
    assert play.session.tombstones == ()


def test_a_reply_that_broke_keeps_its_text() -> None:
    play = finish(running(), "t1", status="failed", reason="error")
    assert (play.archive[-1].status, play.archive[-1].text) == ("failed", "You step through it.")
