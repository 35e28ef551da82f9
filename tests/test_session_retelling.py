"""The last turn told anew, gone on with, changed, or taken back: versions are kept, nothing happens twice."""

import pytest

from session import state
from session.errors import Refusal
from session.events import Saved, TurnDelta, TurnDone, TurnRemoved, TurnStarted
from session.inputs import Began, Pinged, Retold, Said, Stopped
from session.limits import limits
from session.record import OPENING_TURN
from tests.playing import (
    WORLD,
    Kind,
    Play,
    begin,
    broken_off,
    failed,
    finish,
    from_faq,
    hold,
    release,
    retold,
    running,
    say,
    story,
    told,
    undone,
    waiting,
)


def retell(play: Play, kind: Kind = "retry", version: int = 1, text: str = "") -> Play:
    return play(retold(play, kind, "t1", version, text))


def test_retry_makes_the_next_version_and_keeps_the_first() -> None:
    play = retell(told())
    assert play.invoked() == [3]
    live = play.session.live
    assert live is not None
    assert (live.turn_id, live.version, live.number, live.said) == ("t1", 2, 1, "I open the gate.")
    assert (live.text, live.seed) == ("", 2)
    finish(hold(play).write("It is shut."), "t1", version=2)
    assert [(t.number, t.version, t.text) for t in play.archive[1:]] == [
        (1, 1, "You step through it."),
        (1, 2, "It is shut."),
    ]
    assert play.session.turns == 2  # the next one's number
    assert play.session.recent == (OPENING_TURN, "t1")


def test_edit_says_something_else() -> None:
    play = retell(told(), "edit", text="I knock.")
    assert play.session.live is not None
    assert play.session.live.said == "I knock."
    finish(hold(play), "t1", version=2)
    again = retell(play, "retry", version=2)
    assert again.session.live is not None
    assert again.session.live.said == "I knock."


def test_a_repeated_frame_is_answered_the_same_while_it_waits_runs_and_when_it_is_over() -> None:
    play = told()
    frame = retold(play)
    play(frame)
    started = [TurnStarted(turn_id="t1", version=2, source="model")]
    assert play(frame).posted(TurnStarted) == started
    hold(play)
    assert play(frame).posted(TurnStarted) == started
    finish(play, "t1", version=2)
    done = play.posted(TurnDone)
    before = play.session
    assert play(frame).posted(TurnDone) == done
    assert play.session is before
    play(say("t2"))
    assert play(frame).posted(TurnDone) == done  # later still


@pytest.mark.parametrize("kind", ["retry", "edit", "continue", "not_faq"])
def test_only_the_last_turn_in_its_newest_version(kind: Kind) -> None:
    with pytest.raises(Refusal, match="not_last_turn"):
        story()(retold(story(), kind, "t9", text="x"))
    with pytest.raises(Refusal, match="not_last_turn"):
        told()(retold(told(), kind, OPENING_TURN, text="x"))
    with pytest.raises(Refusal, match="not_last_turn"):
        begin()(retold(begin(), kind, text="x"))
    twice = finish(hold(retell(told())), "t1", version=2)
    thrice = finish(retell(twice, version=2)(Began(epoch=3)), "t1", version=3)
    with pytest.raises(Refusal, match="not_last_turn"):
        retell(thrice, kind, version=1, text="x")


@pytest.mark.parametrize("kind", ["retry", "edit", "continue", "not_faq"])
def test_not_while_a_turn_runs(kind: Kind) -> None:
    for play in (running(), waiting()):
        with pytest.raises(Refusal, match="turn_running"):
            retell(play, kind, text="x")


def test_a_turn_that_ended_while_the_host_looked_for_it_was_running() -> None:
    with pytest.raises(Refusal, match="turn_running"):
        told()(Retold(kind="retry", turn_id="t1", version=1, seed=1, turn=None))


def test_an_edit_has_a_text_within_the_limit() -> None:
    with pytest.raises(Refusal, match="empty_text"):
        retell(told(), "edit", text="")
    with pytest.raises(Refusal, match="text_too_long"):
        retell(told(), "edit", text="x" * (limits().say_chars + 1))


def test_a_turn_has_only_so_many_versions() -> None:
    play = told()
    assert play.session.last is not None
    last = play.session.last.model_copy(update={"version": limits().turn_versions})
    play.session = play.session.model_copy(update={"last": last})
    turn = play.archive[-1].model_copy(update={"version": limits().turn_versions})
    play.archive.append(turn)
    with pytest.raises(Refusal, match="too_many_versions"):
        retell(play, version=limits().turn_versions)


# ---- continue -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", ["deadline", "stopped", "length", "loop", "error"])
def test_continue_goes_on_from_the_stored_text(reason: str) -> None:
    play = running()
    if reason == "stopped":
        play(Stopped(turn_id="t1"))
    status = {"deadline": "incomplete", "error": "failed", "stopped": "stopped"}.get(reason, "completed")
    finish(play, "t1", status=status, reason=reason)  # type: ignore[arg-type]
    release(play)
    retell(play, "continue")
    live = play.session.live
    assert live is not None
    assert (live.text, live.length, live.continued) == ("You step through it.", 20, 20)
    hold(play)
    assert play.kinds() == ["turn.started", "turn.delta"]
    assert play.posted(TurnDelta) == [
        TurnDelta(turn_id="t1", version=2, offset=0, text="You step through it.")
    ]
    finish(play.write(" And on."), "t1", version=2)
    assert play.archive[-1].text == "You step through it. And on."


def test_a_long_text_is_told_again_in_frames_of_at_most_32_kb() -> None:
    text = "🐦" * 7_000 + "\x07" * 7_000
    play = finish(hold(waiting()).write(text), "t1", status="incomplete", reason="deadline")
    release(play)
    hold(retell(play, "continue"))
    deltas = [delta for delta in play.posted(TurnDelta) if isinstance(delta, TurnDelta)]
    assert "".join(delta.text for delta in deltas) == text
    assert [d.offset for d in deltas] == [sum(len(e.text) for e in deltas[:i]) for i in range(len(deltas))]
    assert max(len(delta.wire()) for delta in deltas) <= 32 * 1024


def test_what_did_not_break_off_or_left_no_text_cannot_be_continued() -> None:
    with pytest.raises(Refusal, match="nothing_to_continue"):
        retell(told(), "continue")
    with pytest.raises(Refusal, match="nothing_to_continue"):
        retell(from_faq(), "continue")
    silent = release(finish(hold(waiting()), "t1", status="incomplete", reason="deadline"))
    with pytest.raises(Refusal, match="nothing_to_continue"):
        retell(silent, "continue")


def test_a_turn_has_an_end() -> None:
    long = hold(waiting()).write("x" * limits().turn_chars)
    finish(long, "t1", reason="length")
    with pytest.raises(Refusal, match="turn_too_long"):
        retell(release(long), "continue")
    assert retell(long, "retry").session.live is not None


def test_a_continued_turn_stopped_before_it_came_keeps_what_was_there() -> None:
    play = retell(broken_off(), "continue")(Stopped(turn_id="t1", version=2, seen=0))
    assert (play.archive[-1].status, play.archive[-1].text) == ("stopped", "You step through it.")
    assert retell(play, "continue", version=2).session.live is not None


# ---- not_faq --------------------------------------------------------------------------------------------


def test_the_model_takes_a_turn_that_the_faq_answered_wrongly_and_nothing_was_saved() -> None:
    play = story()(say("t0", faq="x"))
    saved = Saved(seconds=2.0, cost_usd=0.001, energy_wh=0.5)
    play(Said(turn_id="t1", text="What is behind it?", seed=1, faq="A house.", saved=saved))
    retell(play, "not_faq")
    assert play.session.saved == Saved()
    finish(hold(play).write("A garden."), "t1", version=2)
    assert [(t.version, t.source, t.said) for t in play.archive if t.turn_id == "t1"] == [
        (1, "faq", "What is behind it?"),
        (2, "model", "What is behind it?"),
    ]
    with pytest.raises(Refusal, match="not_from_faq"):
        retell(play, "not_faq", version=2)


def test_what_the_faq_saved_before_is_still_saved() -> None:
    saved = Saved(seconds=2.0)
    play = story()(Said(turn_id="t0", text="What is this?", seed=1, faq="A house.", saved=saved))
    play(say("t1", faq="A house, too."))
    assert retell(play, "not_faq").session.saved == saved


def test_before_the_story_there_is_nobody_to_take_it() -> None:
    for state_of, code in ((begin, "story_not_begun"), (failed, "model_failed")):
        play = state_of()(say("t1", faq="It is."))
        with pytest.raises(Refusal, match=code):
            retell(play, "not_faq")


# ---- undo -----------------------------------------------------------------------------------------------


def test_undo_removes_every_version_and_the_turn_before_is_the_last() -> None:
    play = finish(hold(retell(told())), "t1", version=2)
    outcome = state.receive(play.session, undone(play), play.now, WORLD)
    assert list(outcome.remove) == [(1, 1), (1, 2)]
    play(undone(play))
    assert play.posted(TurnRemoved) == [TurnRemoved(turn_id="t1")]
    assert play.session.last is not None
    assert (play.session.last.turn_id, play.session.last.length) == (OPENING_TURN, 21)
    before = play.session
    assert play(undone(play)).posted(TurnRemoved)
    assert play.session is before  # sent twice
    play(say("t2"))
    assert play.session.live is not None
    assert play.session.live.number == 2  # numbers are not used twice
    assert play(undone(play)).posted(TurnRemoved)  # and once more, late


def test_the_turn_before_can_be_told_anew_after_an_undo() -> None:
    play = told()
    play(undone(play))(retold(play, "retry", OPENING_TURN))
    assert play.session.live is not None
    assert (play.session.live.turn_id, play.session.live.version) == (OPENING_TURN, 2)


def test_an_undo_may_leave_nothing() -> None:
    play = begin()(say("t1", faq="It is."))
    play(undone(play))
    assert play.session.last is None
    assert play.archive == []


def test_what_cannot_be_undone() -> None:
    for play, turn_id, code in (
        (running(), "t1", "turn_running"),
        (told(), "t9", "not_last_turn"),
        (told(), OPENING_TURN, "not_last_turn"),
        (story(), OPENING_TURN, "not_last_turn"),
        (begin(), "t1", "not_last_turn"),
    ):
        with pytest.raises(Refusal, match=code):
            play(undone(play, turn_id))


# ---- stops and versions ---------------------------------------------------------------------------------


def test_a_stop_that_overtakes_a_retry_ends_it_when_it_comes() -> None:
    play = retell(told()(Stopped(turn_id="t1", version=2)))
    assert play.invoked() == []
    assert [(t.version, t.status) for t in play.archive[1:]] == [(1, "completed"), (2, "stopped")]
    assert play.session.tombstones == ()
    assert retell(play, version=2).invoked() == [3]  # consumed


def test_a_late_stop_of_an_older_version_stops_nothing() -> None:
    play = retell(told())(Stopped(turn_id="t1", version=1))
    assert play.session.live is not None
    assert not play.session.stop
    assert play.posted(TurnDone)
    assert play(Stopped(turn_id="t1")).session.live is None  # without a version: the one that waits


def test_a_ping_does_not_tell_the_old_end_of_a_turn_that_is_told_anew() -> None:
    play = retell(told())(Pinged(turn_id="t1"))
    assert not play.posted(TurnDone)
