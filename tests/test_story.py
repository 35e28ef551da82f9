"""A client's splicing: repeated, late, missing and overtaken frames all end in the stored text."""

import itertools
import random

from hypothesis import given
from hypothesis import strategies as st

from local.story import Story
from session.events import ErrorFrame, SessionSnapshot, TurnDelta, TurnDone, TurnSnapshot, TurnStarted

STARTED = TurnStarted(turn_id="t", version=1, source="model")


def delta(offset: int, text: str, version: int = 1) -> TurnDelta:
    return TurnDelta(turn_id="t", version=version, offset=offset, text=text)


def done(length: int) -> TurnDone:
    return TurnDone(turn_id="t", version=1, status="completed", finish_reason="stop", length=length)


def snapshot(text: str, status: str = "running") -> SessionSnapshot:
    turn = TurnSnapshot.model_validate(
        {"turn_id": "t", "version": 1, "said": "", "text": text, "status": status, "source": "model"}
    )
    return SessionSnapshot(turns=[turn], prologue=[])


def test_offsets_count_code_points() -> None:
    story = Story()
    for frame in (STARTED, delta(0, "🦊🎭"), delta(2, "é"), done(3)):
        assert not story.receive(frame)
    assert story.turns["t"].text == "🦊🎭é"
    assert story.open_turn is None


def test_a_gap_asks_for_a_snapshot_and_the_snapshot_fills_it() -> None:
    story = Story()
    story.receive(STARTED)
    assert story.receive(delta(4, "upon"))
    assert not story.receive(snapshot("Onceupon"))
    assert not story.receive(delta(8, " a"))
    assert story.turns["t"].text == "Onceupon a"


def test_missing_text_is_noticed_at_the_end() -> None:
    story = Story()
    story.receive(STARTED)
    story.receive(delta(0, "On"))
    assert story.receive(done(4))


def test_deltas_of_an_older_version_or_after_the_end_are_dropped() -> None:
    story = Story()
    story.receive(TurnStarted(turn_id="t", version=2, source="model"))
    assert not story.receive(delta(0, "old", version=1))
    assert story.turns["t"].text == ""
    story.receive(STARTED)
    story.receive(TurnDone(turn_id="t", version=2, status="stopped", finish_reason="stopped", length=9))
    assert not story.receive(delta(0, "late", version=2))
    assert story.turns["t"].text == ""


def test_text_never_shrinks_when_deltas_overtake_their_snapshot() -> None:
    story = Story()
    story.receive(STARTED)
    story.receive(delta(0, "Once upon"))
    story.receive(snapshot("Once"))
    assert story.turns["t"].text == "Once upon"


@given(st.text(min_size=1, max_size=40), st.randoms(use_true_random=False))
def test_whatever_order_the_frames_come_in_the_text_is_the_tables(text: str, chance: random.Random) -> None:
    cuts = sorted({0, len(text), *(chance.randrange(len(text) + 1) for _ in range(4))})
    frames = [delta(a, text[a:b]) for a, b in itertools.pairwise(cuts)]
    frames += chance.sample(frames, chance.randrange(len(frames) + 1))
    chance.shuffle(frames)
    story = Story()
    story.receive(STARTED)
    missing = [story.receive(frame) for frame in frames]
    if story.receive(done(len(text))) or any(missing):
        story.receive(snapshot(text, "completed"))
    assert story.turns["t"].text == text


def test_a_ping_names_the_turn_of_which_the_server_may_know_more() -> None:
    story = Story()
    assert story.ping()["turn_id"] == "opening"
    story.say("t1", "I knock.")
    assert story.ping()["turn_id"] == "t1"
    story.receive(TurnStarted(turn_id="t1", version=1, source="model"))
    story.receive(TurnDone(turn_id="t1", version=1, status="completed", finish_reason="stop", length=0))
    assert story.ping()["turn_id"] == "opening"  # it has not come
    story.receive(TurnStarted(turn_id="opening", version=1, source="model"))
    done = TurnDone(turn_id="opening", version=1, status="completed", finish_reason="stop", length=0)
    story.receive(done)
    story.receive(TurnStarted(turn_id="t2", version=1, source="model"))
    story.receive(done.model_copy(update={"turn_id": "t2"}))
    assert story.ping()["turn_id"] == "t2"


def test_what_a_refused_hello_asked_for_is_asked_for_again() -> None:
    story = Story(session_id="s", resume_key="k")
    hello = story.hello()
    story.receive(ErrorFrame(code="internal", message="It failed.", hint="Send it again."))
    story.receive(STARTED)  # is held back for the snapshot
    assert story.ping() == hello
    story.receive(snapshot("Once", "completed"))
    assert story.ping()["action"] == "ping"
