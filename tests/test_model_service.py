"""The model function with a stand-in for the model: wake, tell, stop, fail, leave."""

import time
from collections.abc import Sequence

import pytest

from lambda_image.engine.errors import BundleError
from lambda_image.narrator import Narrator
from lambda_image.waking import LoadError
from session.events import Frame, ModelStatus, PrologueFragment, TurnDelta, TurnDone
from session.inputs import Answered, Disconnected, Pinged, Resumed, Said, Skipped, Stopped, Woken
from session.record import Session, Turn
from tests.fakes import emerald_city
from tests.theatre import WORDS, Parrot, Theatre


def test_it_wakes_tells_the_opening_scene_and_leaves() -> None:
    theatre = Theatre()
    theatre.runner.apply("s", Answered(question_id="name", choice=None, text="Ada"))
    theatre.runner.apply("s", Skipped(question_id=None))
    assert theatre.invoked == [1]
    assert theatre.serve() == "released"
    opening = theatre.store.turns("s")[0]
    assert (opening.turn_id, opening.status, opening.text) == ("opening", "completed", "".join(WORDS))
    assert not theatre.session.seat.holder
    assert theatre.session.model.state == "resting"
    assert theatre.store.seen["demo"] == theatre.clock.now
    states = [frame.state for frame in theatre.posted(ModelStatus) if isinstance(frame, ModelStatus)]
    assert states[-3:] == ["loading", "ready", "resting"]
    loading = [f for f in theatre.posted(ModelStatus) if isinstance(f, ModelStatus) and f.loaded_bytes]
    assert (loading[0].loaded_bytes, loading[0].total_bytes) == (50, 100)
    assert theatre.posted(PrologueFragment)


def test_what_is_posted_was_stored_and_splices_to_the_stored_text() -> None:
    theatre = Theatre(Parrot(WORDS * 5, delay=0.02))
    theatre.runner.apply("s", Skipped(question_id=None))
    theatre.serve()
    deltas = [frame for frame in theatre.posted(TurnDelta) if isinstance(frame, TurnDelta)]
    assert 2 <= len(deltas) < 25  # the first at once, the others gathered
    text = ""
    for delta in deltas:
        assert delta.offset == len(text)
        text += delta.text
    done = theatre.posted(TurnDone)[-1]
    assert isinstance(done, TurnDone)
    assert text == theatre.store.turns("s")[0].text
    assert done.length == len(text)
    assert done.usage is not None
    assert done.usage.completion_tokens == 25
    assert done.usage.dropped_turns == 3
    assert done.usage.kv_lost_tokens == 4
    assert done.metrics is not None
    assert done.metrics.cost_usd > 0


def test_the_prompt_has_every_answer_and_the_story_but_no_faq_turn() -> None:
    theatre = Theatre()
    theatre.runner.apply("s", Answered(question_id="name", choice=None, text="Ada"))
    theatre.runner.apply("s", Answered(question_id="companion", choice=None, text="a talking teapot"))
    theatre.runner.apply("s", Skipped(question_id=None))
    theatre.serve()
    theatre.runner.apply("s", Said(turn_id="q", text="Is this real?", seed=1, faq="It is a story."))
    theatre.runner.apply("s", Said(turn_id="t", text="I knock.", seed=1))
    theatre.serve()
    world = emerald_city()
    system = world.render_system({"name": "Ada", "companion": "a talking teapot"})
    assert theatre.narrator.read == [
        [{"role": "system", "content": system}, {"role": "user", "content": world.opening_prompt}],
        [
            {"role": "system", "content": system},
            {"role": "user", "content": world.opening_prompt},
            {"role": "assistant", "content": "".join(WORDS)},
            {"role": "user", "content": "I knock."},
        ],
    ]


def test_stop_ends_the_computing_and_keeps_what_was_stored() -> None:
    theatre = Theatre(Parrot(WORDS * 200, delay=0.02))

    def stop(index: int) -> None:
        if index == 20:
            theatre.runner.apply("s", Stopped(turn_id="opening"))

    theatre.narrator.before = stop
    theatre.runner.apply("s", Skipped(question_id=None))
    theatre.serve()
    turn = theatre.store.turns("s")[0]
    assert turn.status == "stopped"
    assert turn.text
    assert "".join(WORDS * 200).startswith(turn.text)
    assert theatre.narrator.said < 100


def test_a_listener_who_stays_away_ends_the_turn_after_the_grace() -> None:
    theatre = Theatre(Parrot(WORDS * 200, delay=0.02))

    def leave(index: int) -> None:
        if index == 10:
            theatre.runner.apply("s", Disconnected(connection_id="c"))
        if index == 30:
            theatre.clock.now += 21

    theatre.narrator.before = leave
    theatre.runner.apply("s", Skipped(question_id=None))
    theatre.serve()
    turn = theatre.store.turns("s")[0]
    assert (turn.status, turn.finish_reason) == ("incomplete", "listener_gone")
    assert 30 <= theatre.narrator.said < 150


def test_a_gone_connection_does_not_end_the_turn_by_itself() -> None:
    theatre = Theatre()
    theatre.runner.apply("s", Skipped(question_id=None))
    theatre.poster.gone.add("c")
    theatre.serve()
    assert theatre.store.turns("s")[0].status == "completed"
    assert theatre.session.connection_id is None


def test_a_zombie_falls_silent_when_its_seat_is_taken() -> None:
    theatre = Theatre(Parrot(WORDS * 200, delay=0.02))

    def take_the_seat(index: int) -> None:
        if index == 20:
            head = theatre.session
            seat = head.seat.model_copy(update={"epoch": head.seat.epoch + 1, "holder": "other"})
            theatre.store.heads["s"] = head.model_copy(update={"seat": seat, "rev": head.rev + 1})
            theatre.poster.take()

    theatre.narrator.before = take_the_seat
    theatre.runner.apply("s", Skipped(question_id=None))
    assert theatre.serve() == "seat_lost"
    assert theatre.posted(TurnDelta) == []
    assert theatre.store.turns("s") == []
    assert theatre.narrator.said < 100


def test_a_duplicate_delivery_of_the_same_event_tells_nothing() -> None:
    theatre = Theatre()
    theatre.runner.apply("s", Skipped(question_id=None))
    theatre.serve()
    theatre.poster.take()
    assert theatre.serve(epoch=1, holder="again") == "released"  # a free seat, and no work
    assert theatre.posted(TurnDelta) == []


def test_a_damaged_bundle_is_told_in_plain_words_and_can_be_tried_again() -> None:
    working = Parrot()
    attempts = iter([BundleError("weights.bin is damaged: build it again")])

    def load() -> Narrator:
        for failure in attempts:
            raise failure
        return working

    theatre = Theatre(working, load)
    theatre.runner.apply("s", Skipped(question_id=None))
    assert theatre.serve() == "load_failed"
    assert theatre.session.model.state == "failed"
    assert "weights.bin is damaged" in (theatre.session.model.message or "")
    theatre.runner.apply("s", Woken())
    assert theatre.serve(holder="r2") == "released"
    assert theatre.store.turns("s")[0].status == "completed"


def test_a_reply_that_breaks_fails_its_turn_and_not_the_environment(
    caplog: pytest.LogCaptureFixture,
) -> None:
    theatre = Theatre()

    def break_off(index: int) -> None:
        raise FloatingPointError("logits are not finite")

    theatre.narrator.before = break_off
    theatre.runner.apply("s", Skipped(question_id=None))
    assert theatre.serve() == "released"
    assert theatre.store.turns("s")[0].status == "failed"
    assert "logits are not finite" in caplog.text
    theatre.narrator.before = lambda index: None
    theatre.runner.apply("s", Said(turn_id="t", text="Again.", seed=1))
    theatre.serve()
    assert theatre.store.turns("s")[1].status == "completed"


def test_a_reply_ends_before_its_invocation_must() -> None:
    theatre = Theatre(Parrot(WORDS * 200, delay=0.02))
    theatre.runner.apply("s", Skipped(question_id=None))
    theatre.serve(seconds=20.3)
    turn = theatre.store.turns("s")[0]
    assert (turn.status, turn.finish_reason) == ("incomplete", "deadline")


def test_work_that_comes_as_a_turn_ends_is_done_before_leaving() -> None:
    theatre = Theatre()
    theatre.runner.apply("s", Skipped(question_id=None))
    post = theatre.poster.post

    def say_next(connection_id: str, frame: Frame) -> None:
        post(connection_id, frame)
        if isinstance(frame, TurnDone) and frame.turn_id == "opening":
            theatre.runner.apply("s", Said(turn_id="t", text="I knock.", seed=1))

    theatre.poster.post = say_next  # type: ignore[method-assign]
    theatre.serve()
    assert [turn.turn_id for turn in theatre.store.turns("s")] == ["opening", "t"]
    assert theatre.invoked == [1]


def test_a_stop_in_the_last_moment_before_the_telling_leaves_the_environment_whole() -> None:
    theatre = Theatre()
    theatre.runner.apply("s", Skipped(question_id=None))
    post = theatre.poster.post

    def stop_at_once(connection_id: str, frame: Frame) -> None:
        post(connection_id, frame)
        if isinstance(frame, ModelStatus) and frame.state == "ready":
            theatre.runner.apply("s", Stopped(turn_id="opening"))

    theatre.poster.post = stop_at_once  # type: ignore[method-assign]
    assert theatre.serve() == "released"
    assert theatre.store.turns("s")[0].status == "stopped"
    assert theatre.narrator.said == 0


def test_the_opening_scene_waits_for_a_listener_who_left_while_the_model_loaded() -> None:
    theatre = Theatre()
    theatre.runner.apply("s", Skipped(question_id=None))
    theatre.runner.apply("s", Disconnected(connection_id="c"))
    theatre.clock.now += 30
    assert theatre.serve() == "released"
    assert theatre.narrator.said == 0
    theatre.runner.apply("s", Resumed(connection_id="c2"))
    assert len(theatre.invoked) == 2
    assert theatre.serve(holder="r2") == "released"
    assert theatre.store.turns("s")[0].status == "completed"


def test_an_abandoned_load_is_waited_for_and_not_begun_again() -> None:
    loads = []

    def load() -> Narrator:
        loads.append(1)
        time.sleep(0.2)
        return Parrot()

    theatre = Theatre(load=load)
    theatre.runner.apply("s", Skipped(question_id=None))
    commit, calls = theatre.store.commit, iter(range(100))

    def hiccup(session: Session, archive: Sequence[Turn] = ()) -> Session:
        if next(calls) == 1:
            raise ConnectionError("the table hiccups")
        return commit(session, archive)

    theatre.store.commit = hiccup  # type: ignore[method-assign]
    with pytest.raises(ConnectionError):
        theatre.serve()
    theatre.clock.now += 100
    theatre.runner.apply("s", Pinged(turn_id=None))
    assert theatre.serve(holder="r2") == "released"
    assert len(loads) == 1


def test_only_a_reply_that_waited_for_the_model_is_told_its_cold_start() -> None:
    theatre = Theatre()
    theatre.runner.apply("s", Skipped(question_id=None))
    theatre.serve()
    theatre.runner.apply("s", Said(turn_id="t", text="Go on.", seed=1))
    theatre.serve(holder="r2")
    cold = [f.metrics.cold_start_s for f in theatre.posted(TurnDone) if isinstance(f, TurnDone) and f.metrics]
    assert cold[0] is not None
    assert cold[1:] == [None]


def test_a_reply_that_ran_in_circles_is_complete_and_says_so() -> None:
    theatre = Theatre()
    theatre.narrator.ending = "loop"
    theatre.runner.apply("s", Skipped(question_id=None))
    theatre.serve()
    turn = theatre.store.turns("s")[0]
    assert (turn.status, turn.finish_reason) == ("completed", "loop")


def test_it_tells_what_serves_and_wakes_for_that() -> None:
    theatre = Theatre()
    assert theatre.service.about() == {"kernels": "native/parrot"}

    def load() -> Narrator:
        raise BundleError("the self-test fails")

    with pytest.raises(LoadError, match="the self-test fails"):
        Theatre(load=load).service.about()
