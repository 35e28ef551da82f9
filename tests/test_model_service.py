"""The model function with a stand-in for the model: wake, tell, stop, fail, leave."""

import threading
import time
from collections.abc import Sequence

import pytest

from lambda_image.engine.errors import BundleError
from lambda_image.narrator import Narrator
from lambda_image.waking import LoadError
from session.events import Frame, ModelStatus, PrologueFragment, TurnDone
from session.inputs import Answered, Disconnected, Pinged, Resumed, Said, Skipped, Stopped, Woken
from session.limits import limits
from session.record import Session, Turn
from session.store import StoreBusy
from tests.fakes import emerald_city
from tests.theatre import WORDS, Parrot, Theatre

Removed = Sequence[tuple[int, int]]


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
    states = [frame.state for frame in theatre.posted(ModelStatus)]
    assert states[-3:] == ["loading", "ready", "resting"]
    loading = [frame for frame in theatre.posted(ModelStatus) if frame.loaded_bytes]
    assert (loading[0].loaded_bytes, loading[0].total_bytes) == (50, 100)
    assert theatre.posted(PrologueFragment)


def test_the_house_remembers_the_start_and_the_slot_is_free_again() -> None:
    theatre = Theatre()
    theatre.runner.apply("s", Skipped(question_id=None))
    assert list(theatre.store.houses["demo"].slots) == ["s"]
    theatre.serve()
    house = theatre.store.houses["demo"]
    done = theatre.posted(TurnDone)[0]
    assert done.metrics is not None
    assert [round(start, 3) for start in house.starts] == [done.metrics.cold_start_s]
    assert (house.seen, house.slots, len(house.held)) == (theatre.clock.now, {}, 1)
    assert theatre.runner.capacity.outlook("demo") == ("resting", house.starts[0])
    theatre.clock.now += limits().resting_s
    assert theatre.runner.capacity.outlook("demo")[0] == "cold"


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


def test_a_duplicate_delivery_of_the_same_event_tells_nothing() -> None:
    theatre = Theatre()
    theatre.runner.apply("s", Skipped(question_id=None))
    theatre.serve()
    theatre.poster.take()
    assert theatre.serve(epoch=1, holder="again") == "seat_lost"
    assert theatre.posted(Frame) == []
    assert theatre.store.houses["demo"].slots == {}


def test_a_damaged_bundle_is_told_in_plain_words_and_can_be_tried_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    working = Parrot()
    attempts = iter([BundleError("/opt/bundle/weights.bin is damaged: build it again")])

    def load() -> Narrator:
        for failure in attempts:
            raise failure
        return working

    theatre = Theatre(working, load)
    theatre.runner.apply("s", Skipped(question_id=None))
    assert theatre.serve() == "load_failed"
    assert theatre.session.model.state == "failed"
    told = [frame.message for frame in theatre.posted(ModelStatus) if frame.message]
    assert told == ["The model could not be loaded; the house's log says why."]
    assert "weights.bin is damaged" in caplog.text
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
    theatre.about()  # awake
    theatre.runner.apply("s", Skipped(question_id=None))
    assert theatre.serve(seconds=20.3) == "released"
    turn = theatre.store.turns("s")[0]
    assert (turn.status, turn.finish_reason) == ("incomplete", "deadline")


def test_a_turn_that_does_not_fit_is_left_for_the_next_invocation() -> None:
    theatre = Theatre()
    theatre.runner.apply("s", Skipped(question_id=None))
    assert theatre.invoke(seconds=100) == {"told": 0, "sessions": 1, "left": "deadline"}  # loading took long
    assert theatre.session.live is not None
    assert theatre.session.live.status == "waiting"
    theatre.runner.apply("s", Pinged(turn_id=None))
    assert theatre.invoked == [1, 2]
    assert theatre.serve(seconds=100, holder="r2") == "released"  # no other has more time: it is told
    assert theatre.store.turns("s")[0].status == "completed"


def test_a_second_turn_is_begun_only_with_time_for_the_longest_reply() -> None:
    """Four tokens a second were measured: 400 of them and the last 20 s take 120 s."""
    for seconds, left, told in ((119.0, "deadline", 1), (900.0, "released", 2)):
        theatre = Theatre(Parrot(tokens_per_s=4.0))
        theatre.about()
        theatre.runner.apply("s", Skipped(question_id=None))
        theatre.on_post(TurnDone, lambda theatre=theatre: theatre.say("t"))  # type: ignore[misc]
        result = theatre.invoke(seconds=seconds)
        assert (result["told"], result["left"]) == (told, left)
        assert (theatre.session.live is None) == (told == 2)


def test_work_that_comes_as_a_turn_ends_is_done_before_leaving() -> None:
    theatre = Theatre()
    theatre.runner.apply("s", Skipped(question_id=None))
    theatre.on_post(TurnDone, lambda: theatre.say("t"))
    theatre.serve()
    assert [turn.turn_id for turn in theatre.store.turns("s")] == ["opening", "t"]
    assert theatre.invoked == [1]


def test_a_stop_in_the_last_moment_before_the_telling_leaves_the_environment_whole() -> None:
    theatre = Theatre()
    theatre.runner.apply("s", Skipped(question_id=None))
    commit = theatre.store.commit

    def stop_at_once(session: Session, archive: Sequence[Turn] = (), remove: Removed = ()) -> Session:
        stored = commit(session, archive, remove)
        if stored.live is not None and stored.live.status == "waiting" and not stored.stop:
            theatre.runner.apply("s", Stopped(turn_id="opening"))
        return stored

    theatre.store.commit = stop_at_once  # type: ignore[method-assign]
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

    def hiccup(session: Session, archive: Sequence[Turn] = (), remove: Removed = ()) -> Session:
        if next(calls) == 1:
            raise ConnectionError("the table hiccups")
        return commit(session, archive, remove)

    theatre.store.commit = hiccup  # type: ignore[method-assign]
    with pytest.raises(ConnectionError):
        theatre.serve()
    theatre.clock.now += 100
    theatre.runner.apply("s", Pinged(turn_id=None))
    assert theatre.serve(holder="r2") == "released"
    assert len(loads) == 1
    assert theatre.store.houses["demo"].starts == ()  # time between the two is no cold start


def test_a_busy_table_is_asked_again_and_nothing_is_told_twice() -> None:
    theatre = Theatre()
    theatre.runner.apply("s", Skipped(question_id=None))
    commit, calls = theatre.store.commit, iter(range(100))

    def busy(session: Session, archive: Sequence[Turn] = (), remove: Removed = ()) -> Session:
        if next(calls) % 2 == 0:
            raise StoreBusy("throttled")
        return commit(session, archive, remove)

    theatre.store.commit = busy  # type: ignore[method-assign]
    assert theatre.serve() == "released"
    assert [turn.status for turn in theatre.store.turns("s")] == ["completed"]
    assert len(theatre.posted(TurnDone)) == 1


def test_a_table_that_stays_busy_ends_the_invocation_before_lambda_does() -> None:
    theatre = Theatre()
    theatre.runner.apply("s", Skipped(question_id=None))

    def busy(session: Session, archive: Sequence[Turn] = (), remove: Removed = ()) -> Session:
        raise StoreBusy("throttled")

    theatre.store.commit = busy  # type: ignore[method-assign]
    with pytest.raises(StoreBusy):
        theatre.serve(seconds=0.3)


def test_a_load_is_left_when_the_listener_has_been_gone_for_the_grace() -> None:
    going_on = threading.Event()

    def load() -> Narrator:
        assert going_on.wait(20)
        return Parrot()

    theatre = Theatre(load=load)
    theatre.runner.apply("s", Skipped(question_id=None))
    theatre.runner.apply("s", Disconnected(connection_id="c"))
    theatre.clock.now += limits().grace_s + 1
    assert theatre.serve() == "released"
    assert theatre.store.houses["demo"].slots == {}
    theatre.runner.apply("s", Resumed(connection_id="c2"))
    going_on.set()
    assert theatre.serve(holder="r2") == "released"
    assert theatre.store.turns("s")[0].status == "completed"


def test_only_a_reply_that_waited_for_the_model_is_told_its_cold_start() -> None:
    theatre = Theatre()
    theatre.runner.apply("s", Skipped(question_id=None))
    theatre.serve()
    theatre.runner.apply("s", Said(turn_id="t", text="Go on.", seed=1))
    theatre.serve(holder="r2")
    cold = [frame.metrics.cold_start_s for frame in theatre.posted(TurnDone) if frame.metrics]
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
    assert theatre.about() == {"kernels": "native/parrot", "awake": False}
    assert theatre.about() == {"kernels": "native/parrot", "awake": True}

    def load() -> Narrator:
        raise BundleError("the self-test fails")

    with pytest.raises(LoadError, match="the self-test fails"):
        Theatre(load=load).about()
