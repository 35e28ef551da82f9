"""The session's rules: who may do what when, what is posted, and that each turn ends exactly once."""

import pytest

from prologue import dialogue
from session import state
from session.actions import Invoke, Post, PostSnapshot, PostTo
from session.errors import Refusal
from session.events import (
    Frame,
    ModelStatus,
    PrologueFragment,
    PrologueQuestion,
    TurnDelta,
    TurnDone,
    TurnStarted,
    TurnSuggestions,
)
from session.inputs import (
    Answered,
    Began,
    Claimed,
    Disconnected,
    Finished,
    Input,
    InvokeFailed,
    LoadFailed,
    Loading,
    Paused,
    Pinged,
    Ready,
    Released,
    Renewed,
    Resumed,
    Skipped,
    Stopped,
    Woken,
)
from session.limits import limits
from session.record import OPENING_TURN, Phase
from session.step import SeatLost
from tests.playing import WORLD, awaiting, begin, failed, finish, say, story, telling

# ---- the prologue and the wake ------------------------------------------------------------------------


def test_a_new_session_is_greeted_and_asked_the_first_question() -> None:
    play = begin()
    kinds = [getattr(a.frame, "type", "") for a in play.actions if isinstance(a, Post)]
    assert kinds == [
        "session.ready",
        *["prologue.line"] * len(WORLD.opening),
        "prologue.question",
        "model.status",
    ]
    assert play.invoked() == []  # a bounced visit costs nothing


def test_the_first_interaction_wakes_the_model_once() -> None:
    play = begin()(Answered(question_id="name", choice=None, text="Ada"))
    assert play.invoked() == [1]
    assert play.session.model.state == "starting"
    play(Answered(question_id="companion", choice=WORLD.questions[1].choices[0].id, text=None))
    assert play.invoked() == []


def test_three_seconds_connected_wake_it_too_but_not_sooner() -> None:
    play = begin()
    play.now += limits().wake_after_s - 0.1
    assert play(Pinged(turn_id=None)).invoked() == []
    play.now += 0.2
    assert play(Pinged(turn_id=None)).invoked() == [1]


def test_a_world_may_wake_the_model_on_hello() -> None:
    world = WORLD.model_copy(update={"wake": "hello"})
    outcome = state.start(begin().session, "key", 1000.0, world)
    assert [a.epoch for a in outcome.actions if isinstance(a, Invoke)] == [1]


def test_the_opening_scene_begins_when_the_prologue_ends_last() -> None:
    play = begin()(Woken())(Claimed(epoch=1, holder="r1"))(Ready(epoch=1, seed=5))
    assert play.session.live is None
    play(Released(epoch=1, work_seq=play.session.work_seq))
    assert play(Skipped(question_id=None)).invoked() == [2]
    play(Claimed(epoch=2, holder="r2"))(Ready(epoch=2, seed=6))
    assert play.session.live is not None
    assert play.session.live.turn_id == OPENING_TURN
    assert play.session.phase is Phase.STORY


def test_the_opening_scene_begins_when_the_model_comes_last_and_only_once() -> None:
    play = telling()
    assert play.session.live is not None
    assert play.session.live.status == "running"
    finish(play)(Ready(epoch=1, seed=9))
    assert play.session.live is None
    assert [turn.turn_id for turn in play.archive] == [OPENING_TURN]


def test_work_that_comes_while_the_seat_is_live_is_left_to_its_holder() -> None:
    play = begin()(Woken())(Claimed(epoch=1, holder="r1"))(Ready(epoch=1, seed=5))
    seen = play.session.work_seq
    assert play(Skipped(question_id=None)).invoked() == []
    play(Released(epoch=1, work_seq=seen))
    assert play.session.seat.holder == "r1"  # it must stay: work came in between
    play(Ready(epoch=1, seed=6))
    assert play.session.live is not None


def test_loading_reports_bytes_and_tells_fragments_in_order() -> None:
    play = awaiting()(Claimed(epoch=1, holder="r1"))
    told: list[Frame] = []
    for step in range(40):
        play.now += 1.0
        play(Loading(epoch=1, loaded_bytes=step * 25, total_bytes=1000, eta_s=3.0))
        told += play.posted(PrologueFragment)
    assert play.session.model.loaded_bytes == 975
    fragments = [ref for ref in play.session.dialogue.log if ref.startswith("fragment:")]
    assert [ref.split(":")[1] for ref in fragments] == [str(i) for i in range(len(fragments))]
    assert 4 <= len(fragments) == len(told) <= 12


def test_pause_holds_fragments_back() -> None:
    play = awaiting()(Claimed(epoch=1, holder="r1"))(Paused(paused=True))
    play(Loading(epoch=1, loaded_bytes=500, total_bytes=1000, eta_s=None))
    assert not [ref for ref in play.session.dialogue.log if ref.startswith("fragment:")]
    play(Paused(paused=False))(Loading(epoch=1, loaded_bytes=500, total_bytes=1000, eta_s=None))
    assert [ref for ref in play.session.dialogue.log if ref.startswith("fragment:")]


def test_the_curtain_line_depends_on_whether_anyone_waited() -> None:
    assert "cue:ready_early" in telling().session.dialogue.log
    waited = awaiting()(Claimed(epoch=1, holder="r1"))
    waited(Loading(epoch=1, loaded_bytes=1, total_bytes=10, eta_s=None))(Ready(epoch=1, seed=1))
    assert "cue:ready" in waited.session.dialogue.log


def test_an_answer_sent_twice_is_answered_the_same_and_changed_answers_are_refused() -> None:
    play = begin()(Answered(question_id="name", choice=None, text="Ada"))
    first = play.entries()
    before = play.session
    play(Answered(question_id="name", choice=None, text="Ada"))
    assert play.session == before
    assert first
    assert play.entries() == first
    with pytest.raises(Refusal, match="already_answered"):
        play(Answered(question_id="name", choice=None, text="Bob"))


def test_a_question_skipped_twice_is_skipped_once() -> None:
    play = begin()(Skipped(question_id="name"))
    before = play.session
    assert play(Skipped(question_id="name")).posted(PrologueQuestion)
    assert play.session == before
    with pytest.raises(Refusal, match="unknown_question"):
        play(Skipped(question_id="gate"))


# ---- turns ----------------------------------------------------------------------------------------------


def test_a_turn_takes_the_seat_is_told_and_archived_once() -> None:
    play = story()(say())
    assert play.invoked() == [2]
    play(Claimed(epoch=2, holder="r2"))(Ready(epoch=2, seed=1))(Began(epoch=2))
    assert play.posted(TurnStarted) == [TurnStarted(turn_id="t1", version=1, source="model")]
    finish(play, "t1")
    assert len(play.posted(TurnDone)) == 1
    assert [turn.turn_id for turn in play.archive] == [OPENING_TURN, "t1"]
    with pytest.raises(SeatLost):
        finish(play, "t1")


def test_suggestions_follow_the_opening_scene_only() -> None:
    assert finish(telling()).posted(TurnSuggestions)
    play = story()(say())(Claimed(epoch=2, holder="r2"))(Began(epoch=2))
    assert not finish(play, "t1").posted(TurnSuggestions)


def test_a_second_say_while_a_turn_runs_is_refused_but_the_same_one_is_not() -> None:
    play = story()(say())
    with pytest.raises(Refusal, match="turn_running"):
        play(say("t2"))
    assert play(say("t1")).posted(TurnStarted)
    assert play.invoked() == []


def test_a_finished_turn_said_again_is_told_how_it_ended() -> None:
    play = story()(say())(Claimed(epoch=2, holder="r2"))(Began(epoch=2))
    finish(play, "t1")
    assert [f.turn_id for f in play(say("t1")).posted(TurnDone) if isinstance(f, TurnDone)] == ["t1"]
    assert play(Pinged(turn_id="t1")).posted(TurnDone)
    assert PostSnapshot() in play(say(OPENING_TURN)).actions  # older: only the whole story tells


def test_what_cannot_be_said() -> None:
    with pytest.raises(Refusal, match="story_not_begun"):
        begin()(say())
    with pytest.raises(Refusal, match="empty_text"):
        story()(say(text=" \n "))
    with pytest.raises(Refusal, match="text_too_long"):
        story()(say(text="x" * (limits().say_chars + 1)))


def test_the_faq_answers_at_any_time_without_the_model() -> None:
    play = begin()(say(faq="It is a story house."))
    assert [type(a.frame) for a in play.actions if isinstance(a, Post)] == [TurnStarted, TurnDelta, TurnDone]
    assert play.invoked() == []
    assert play.archive[-1].source == "faq"
    assert play.session.live is None


# ---- stop -----------------------------------------------------------------------------------------------


def test_stop_of_a_running_turn_raises_the_flag_for_its_holder() -> None:
    play = telling()(Stopped(turn_id=OPENING_TURN))
    assert play.session.stop
    play(Finished(epoch=1, turn_id=OPENING_TURN, version=1, status="stopped", finish_reason="stopped"))
    assert not play.session.stop
    assert play.archive[-1].status == "stopped"


def test_stop_of_a_waiting_turn_ends_it_at_once() -> None:
    play = story()(say())(Stopped(turn_id="t1"))
    assert play.archive[-1].status == "stopped"
    assert play.session.live is None


def test_a_stop_that_overtakes_its_turn_ends_it_when_it_comes() -> None:
    play = story()(Stopped(turn_id="t1"))(say("t1"))
    assert play.invoked() == []
    assert play.archive[-1].status == "stopped"
    assert play.session.tombstones == ()


def test_a_stop_after_the_end_tells_the_end_again() -> None:
    play = story()(Stopped(turn_id=OPENING_TURN))
    assert play.posted(TurnDone)
    assert play.session.tombstones == ()


# ---- seats ----------------------------------------------------------------------------------------------


def test_a_duplicate_invocation_may_not_claim_a_held_seat() -> None:
    play = awaiting()(Claimed(epoch=1, holder="r1"))
    with pytest.raises(SeatLost):
        play(Claimed(epoch=1, holder="r2"))


@pytest.mark.parametrize(
    "event",
    [
        Claimed(epoch=1, holder="r1"),
        Loading(epoch=1, loaded_bytes=1, total_bytes=2, eta_s=None),
        Ready(epoch=1, seed=1),
        LoadFailed(epoch=1, message="x"),
        Began(epoch=1),
        Renewed(epoch=1),
        Finished(epoch=1, turn_id="opening", version=1, status="completed", finish_reason="stop"),
        Released(epoch=1, work_seq=0),
    ],
    ids=lambda event: type(event).__name__,
)
def test_a_zombie_of_an_older_epoch_can_do_nothing(event: Input) -> None:
    play = awaiting()
    play.now += limits().seat_s + 1
    play(Pinged(turn_id=None))
    assert play.session.seat.epoch == 2
    with pytest.raises(SeatLost):
        play(event)


def test_a_holder_that_released_can_do_nothing() -> None:
    play = story()
    with pytest.raises(SeatLost):
        play(Began(epoch=1))


def test_every_step_of_the_holder_renews_its_seat() -> None:
    play = awaiting()(Claimed(epoch=1, holder="r1"))
    play.now += 60
    assert play(Renewed(epoch=1)).session.seat.expires == play.now + limits().seat_s


# ---- settling -------------------------------------------------------------------------------------------


def test_a_lost_invoke_is_made_again_when_the_seat_expires() -> None:
    play = awaiting()
    play.now += limits().seat_s - 1
    assert play(Pinged(turn_id=None)).invoked() == []
    play.now += 2
    assert play(Pinged(turn_id=None)).invoked() == [2]


def test_a_start_that_never_comes_fails_after_five_minutes() -> None:
    play = awaiting()
    for _ in range(5):
        play.now += limits().seat_s + 1
        play(Pinged(turn_id=None))
    assert play.session.model.state == "failed"
    assert "cue:failed" in play.session.dialogue.log
    assert play(Pinged(turn_id=None)).invoked() == []  # not for ever


def test_a_holder_that_died_in_mid_reply_leaves_an_incomplete_turn() -> None:
    play = telling()
    play.now += limits().seat_s + 1
    play(Pinged(turn_id=OPENING_TURN))
    assert play.archive[-1].status == "incomplete"
    assert play.archive[-1].finish_reason == "lost"
    assert play.session.model.state == "resting"


def test_a_holder_that_died_between_ready_and_release_is_noticed() -> None:
    play = begin()(Woken())(Claimed(epoch=1, holder="r1"))(Ready(epoch=1, seed=5))
    play.now += limits().seat_s + 1
    assert play(Pinged(turn_id=None)).session.model.state == "resting"


def test_a_failed_load_is_told_and_can_be_tried_again() -> None:
    play = failed()
    status = play.posted(ModelStatus)[-1]
    assert isinstance(status, ModelStatus)
    assert (status.state, status.message) == ("failed", "weights.bin is damaged")
    with pytest.raises(Refusal, match="model_failed"):
        play(say())
    with pytest.raises(SeatLost):
        play(Claimed(epoch=1, holder="late"))  # its epoch is spent
    assert play(Woken()).invoked() == [3]
    play(Claimed(epoch=3, holder="r2"))(Ready(epoch=3, seed=1))
    assert play.session.live is not None


def test_a_refused_invoke_fails_the_waiting_turn_and_says_why() -> None:
    play = story()(say())(InvokeFailed(epoch=2, message="All places are taken."))
    assert play.archive[-1].status == "failed"
    assert play.session.model.message == "All places are taken."
    assert "cue:failed" not in play.session.dialogue.log  # the prologue is over


def test_a_crash_in_mid_reply_keeps_the_text_and_a_late_report_changes_nothing() -> None:
    play = telling()(InvokeFailed(epoch=1, message="crash"))
    assert play.archive[-1].status == "incomplete"
    before = play.session
    assert play(InvokeFailed(epoch=1, message="crash")).session == before


def test_wake_while_the_model_is_awake_only_tells_its_state() -> None:
    play = telling()(Woken())
    assert play.invoked() == []
    assert play.posted(ModelStatus)


# ---- connections ----------------------------------------------------------------------------------------


def test_the_newest_hello_wins_and_the_older_socket_is_told() -> None:
    play = telling()(Resumed(connection_id="c2"))
    assert play.session.connection_id == "c2"
    assert [a.connection_id for a in play.actions if isinstance(a, PostTo)] == ["c1"]
    assert PostSnapshot() in play.actions


def test_disconnect_clears_the_connection_only_if_it_is_still_that_one() -> None:
    play = telling()(Resumed(connection_id="c2"))(Disconnected(connection_id="c1"))
    assert play.session.connection_id == "c2"
    play(Disconnected(connection_id="c2"))
    assert play.session.connection_id is None
    assert play.session.gone_at == play.now


def test_the_dialogue_can_be_told_again_from_its_log() -> None:
    play = story()
    told = dialogue.entries(play.session.dialogue, WORLD)
    assert [entry.seq for entry in told] == list(range(len(told)))
