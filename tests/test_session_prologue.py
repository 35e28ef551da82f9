"""The prologue, the wake, and the one opening scene."""

import pytest

from prologue import dialogue
from session import state
from session.actions import Invoke, PostSnapshot
from session.errors import Refusal
from session.events import (
    Frame,
    ModelStatus,
    PrologueFragment,
    PrologueQuestion,
    SessionReady,
    TurnSuggestions,
)
from session.inputs import (
    Answered,
    Began,
    Claimed,
    InvokeFailed,
    Loading,
    Paused,
    Pinged,
    Ready,
    Skipped,
    Stopped,
    Woken,
)
from session.limits import limits
from session.record import OPENING_TURN, Phase
from tests.playing import WORLD, awaiting, begin, failed, finish, hold, release, retold, story, telling


def test_a_new_session_is_greeted_and_asked_the_first_question() -> None:
    play = begin()
    assert play.kinds() == [
        "session.ready",
        *["prologue.line"] * len(WORLD.opening),
        "prologue.question",
        "model.status",
    ]
    greeting = play.posted(SessionReady)[0]
    assert isinstance(greeting, SessionReady)
    assert (greeting.session_id, greeting.resume_key, greeting.resumed) == ("s1", "key", False)
    assert (greeting.world, greeting.language, greeting.model) == ("emerald-city", "en", "demo")
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


def test_pause_holds_fragments_back() -> None:
    play = awaiting()(Claimed(epoch=1, holder="r1"))(Paused(paused=True))
    play(Loading(epoch=1, loaded_bytes=500, total_bytes=1000, eta_s=None))
    assert not play.posted(PrologueFragment)
    before = play.session
    assert play(Paused(paused=True)).session is before  # sent twice
    play(Paused(paused=False))(Loading(epoch=1, loaded_bytes=500, total_bytes=1000, eta_s=None))
    assert play.posted(PrologueFragment)


def test_loading_reports_bytes_and_tells_fragments_in_order() -> None:
    play = awaiting()(Claimed(epoch=1, holder="r1"))
    told: list[Frame] = []
    for step in range(40):
        play.now += 1.0
        play(Loading(epoch=1, loaded_bytes=step * 25, total_bytes=1000, eta_s=3.0))
        told += play.posted(PrologueFragment)
    status = play.posted(ModelStatus)[-1]
    assert isinstance(status, ModelStatus)
    assert (status.loaded_bytes, status.total_bytes, status.eta_s) == (975, 1000, 3.0)
    fragments = [ref for ref in play.session.dialogue.log if ref.startswith("fragment:")]
    assert [ref.split(":")[1] for ref in fragments] == [str(i) for i in range(len(fragments))]
    assert len(fragments) > 3


def test_weights_that_are_not_there_are_no_progress() -> None:
    play = awaiting()(Claimed(epoch=1, holder="r1"))
    play(Loading(epoch=1, loaded_bytes=0, total_bytes=0, eta_s=None))
    assert not play.posted(ModelStatus)
    assert play.session.model.state == "starting"
    assert play.session.seat.expires == play.now + limits().seat_s  # it is alive nevertheless


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


def test_an_old_answer_sent_again_is_told_as_it_was_and_no_further() -> None:
    play = begin()(Answered(question_id="name", choice=None, text="Ada"))
    first = play.entries()
    play(Answered(question_id="companion", choice=WORLD.questions[1].choices[0].id, text=None))
    play(Skipped(question_id=None))
    assert play(Answered(question_id="name", choice=None, text="Ada")).entries() == first


def test_a_question_skipped_twice_is_skipped_once() -> None:
    play = begin()(Skipped(question_id="name"))
    before = play.session
    assert play(Skipped(question_id="name")).posted(PrologueQuestion)
    assert play.session == before
    with pytest.raises(Refusal, match="unknown_question"):
        play(Skipped(question_id="gate"))


def test_a_question_that_was_skipped_with_all_others_is_told_that_the_prologue_is_over() -> None:
    play = failed()(Skipped(question_id="name"))
    assert play.kinds() == ["prologue.done"]


def test_skipping_all_twice_is_answered_the_same_and_after_the_last_answer_there_is_nothing_to_skip() -> None:
    play = begin()(Skipped(question_id=None))
    before = play.session
    assert play(Skipped(question_id=None)).kinds() == ["prologue.done"]
    assert play.session == before
    answered = begin()
    for question in WORLD.questions:
        answered(Answered(question_id=question.id, choice=question.choices[0].id, text=None))
    with pytest.raises(Refusal, match="prologue_over"):
        answered(Skipped(question_id=None))


def test_the_dialogue_can_be_told_again_from_its_log() -> None:
    told = dialogue.entries(story().session.dialogue, WORLD)
    assert [entry.seq for entry in told] == list(range(len(told)))


# ---- the opening scene, once ----------------------------------------------------------------------------


def test_the_opening_scene_begins_when_the_prologue_ends_last() -> None:
    play = begin()(Woken())(Claimed(epoch=1, holder="r1"))(Ready(epoch=1, seed=5))
    assert play.session.live is None
    release(play)
    assert play(Skipped(question_id=None)).invoked() == [2]
    hold(play)
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


def test_the_opening_scene_begins_in_the_seat_of_a_holder_that_was_ready_before() -> None:
    play = begin()(Woken())(Claimed(epoch=1, holder="r1"))(Ready(epoch=1, seed=5))
    seen = play.session.work_seq
    assert play(Skipped(question_id=None)).invoked() == []
    assert play.session.work_seq > seen  # so it does not leave, and says Ready again
    play(Ready(epoch=1, seed=6))(Began(epoch=1))
    assert play.kinds() == ["turn.started"]


def test_suggestions_follow_a_whole_opening_scene_only() -> None:
    assert finish(telling()).posted(TurnSuggestions)
    assert not finish(telling(), status="incomplete", reason="deadline").posted(TurnSuggestions)


@pytest.mark.parametrize("how", ["stopped", "lost", "failed"])
def test_an_opening_scene_that_came_to_nothing_is_told_anew(how: str) -> None:
    play = awaiting()(Claimed(epoch=1, holder="r1"))(Ready(epoch=1, seed=5))
    if how == "stopped":
        play(Stopped(turn_id=OPENING_TURN))
    elif how == "failed":
        play(InvokeFailed(epoch=1, message="crash"))
    else:
        play(Began(epoch=1))(InvokeFailed(epoch=1, message="crash"))
    assert play.session.live is None
    play(retold(play, "retry", OPENING_TURN))
    if how == "stopped":  # its holder is still there
        play(Began(epoch=1))
    else:
        hold(play)
    finish(play.write("The gate."), version=2)
    opening = [(turn.version, turn.text) for turn in play.archive if turn.turn_id == OPENING_TURN]
    assert opening == [(1, ""), (2, "The gate.")]


def test_after_a_failed_start_wake_says_so_and_leads_to_the_opening_scene() -> None:
    play = failed()
    assert "cue:failed" in play.session.dialogue.log
    assert play(Woken()).invoked() == [3]
    assert "cue:retrying" in play.session.dialogue.log
    hold(play)
    assert finish(play).archive[-1].turn_id == OPENING_TURN


def test_the_last_answer_tries_again_after_a_failed_start() -> None:
    play = begin()(Woken())(InvokeFailed(epoch=1, message="refused"))
    assert play(Answered(question_id="name", choice=None, text="Ada")).invoked() == []
    assert play(Skipped(question_id=None)).invoked() == [3]


def test_a_first_visit_gets_no_snapshot() -> None:
    assert PostSnapshot() not in begin().actions
