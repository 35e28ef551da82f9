"""The prologue's player on a clock that the test moves: how a start is told, whatever becomes of it."""

from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prologue import dialogue
from prologue.dialogue import DialogueState
from prologue.world import WORLDS, World, load_world
from session.errors import Refusal
from session.events import PrologueDone, PrologueFragment, PrologueLine, PrologueQuestion
from session.limits import limits

EDITIONS = {
    f"{name}/{language}": load_world(WORLDS / name, language)
    for name in ("emerald-city", "hollow-skerry")
    for language in ("en", "de")
}
WORLD = EDITIONS["emerald-city/en"]
TICK = 0.4
Estimate = Callable[[float, float], float | None]  # of (elapsed, seconds that it really takes)


def exact(elapsed: float, seconds: float) -> float | None:
    return seconds - elapsed


def unknown(elapsed: float, seconds: float) -> float | None:
    return None


def too_short(elapsed: float, seconds: float) -> float | None:
    """What a typical start let expect, of one that takes three times as long."""
    return max(0.0, seconds / 3 - elapsed)


def too_long(elapsed: float, seconds: float) -> float | None:
    return 3 * seconds - elapsed


ESTIMATES = [exact, unknown, too_short, too_long]
editions = st.sampled_from(sorted(EDITIONS))
seconds = st.sampled_from([1.0, 50.0, 180.0, 300.0]) | st.floats(0.5, 300)
estimates = st.sampled_from(ESTIMATES)
loadings = st.sampled_from([1.0, 0.2, 4.0])  # steady, fast at first, slow at first


def start(
    state: DialogueState, world: World, length: float, estimate: Estimate, bend: float = 1.0, at: float = 0.0
) -> Iterator[tuple[float, DialogueState]]:
    """(seconds since `at`, state) after every tick of a start that takes `length` seconds."""
    for tick in range(int(length / TICK) + 1):
        elapsed = tick * TICK
        share = (elapsed / length) ** bend
        state = dialogue.progress(state, world, share, 1e9 + at + elapsed, estimate(elapsed, length))
        yield elapsed, state


def told_at(steps: Iterator[tuple[float, DialogueState]], before: DialogueState) -> list[tuple[float, str]]:
    """(seconds, entry) of everything that was told; each state only ever adds to the one before."""
    found = list[tuple[float, str]]()
    for elapsed, state in steps:
        assert state.log[: len(before.log)] == before.log
        assert len(state.log) <= len(before.log) + 1
        found += [(elapsed, ref) for ref in state.log[len(before.log) :]]
        before = state
    return found


def kind(ref: str) -> str:
    return ref.split(":")[0]


def number(ref: str) -> int:
    return int(ref.split(":")[1])


@settings(deadline=None, max_examples=60)
@given(editions, seconds, estimates, loadings)
def test_a_start_of_any_length_is_told_in_order_without_hurry_or_silence(
    edition: str, length: float, estimate: Estimate, bend: float
) -> None:
    world = EDITIONS[edition]
    begun = dialogue.begin(world)
    told = told_at(start(begun, world, length, estimate, bend), begun)
    fragments = [number(ref) for _, ref in told if kind(ref) == "fragment"]
    lulls = [number(ref) for _, ref in told if kind(ref) == "lull"]
    assert told[0][0] == 0.0
    assert fragments == list(range(len(fragments)))
    assert lulls == list(range(len(lulls)))  # five minutes have no lull twice
    assert not lulls or len(fragments) == len(world.countdown)
    for (one, _), (other, ref) in pairwise(told):
        longest = limits().fragment_wait_s if kind(ref) == "fragment" else limits().lull_wait_s
        assert limits().fragment_gap_s <= other - one <= longest + TICK
    quiet_at_last = (
        limits().lull_wait_s if len(fragments) == len(world.countdown) else limits().fragment_wait_s
    )
    assert length - told[-1][0] <= quiet_at_last + TICK


@settings(deadline=None, max_examples=60)
@given(editions, st.floats(70, 120))
def test_with_an_estimate_the_whole_countdown_is_spread_over_the_start(edition: str, length: float) -> None:
    world = EDITIONS[edition]
    begun = dialogue.begin(world)
    times = [at for at, _ in told_at(start(begun, world, length, exact, bend=0.2), begun)]
    gap = length / len(world.countdown)
    assert len(times) == len(world.countdown)
    assert all(abs(other - one - gap) <= 2 * TICK for one, other in pairwise(times))
    assert gap - 2 * TICK <= length - times[-1] <= gap + 2 * TICK


def test_without_an_estimate_the_countdown_follows_the_loading() -> None:
    begun = dialogue.begin(WORLD)
    told = told_at(start(begun, WORLD, 80.0, unknown), begun)
    shares = [(number(ref) / len(WORLD.countdown), at / 80.0) for at, ref in told]
    assert len(shares) == len(WORLD.countdown)
    assert all(abs(place - share) <= 0.02 for place, share in shares)


def test_an_estimate_that_has_run_out_does_not_rush_what_is_left() -> None:
    begun = dialogue.begin(WORLD)
    state = dialogue.progress(begun, WORLD, 0.1, 1000.0, eta_s=2.0)
    waited = limits().fragment_gap_s + 0.1
    assert dialogue.progress(state, WORLD, 0.0, 1000.0 + waited, eta_s=0.0) == state
    assert dialogue.progress(state, WORLD, 0.0, 1000.0 + waited, eta_s=0.5) != state


@settings(deadline=None, max_examples=8)
@given(editions, st.integers(15, 30))
def test_lulls_come_at_growing_gaps_and_none_twice_before_all_were_told(edition: str, minutes: int) -> None:
    world = EDITIONS[edition]
    begun = dialogue.begin(world)
    told = [
        step for step in told_at(start(begun, world, 60.0 * minutes, unknown), begun) if "lull" in step[1]
    ]
    gaps = [other - one for (one, _), (other, _) in pairwise(told)]
    assert all(later >= earlier - TICK for earlier, later in pairwise(gaps))
    assert gaps[0] < gaps[4] <= limits().lull_wait_s + TICK
    heard = [number(ref) for _, ref in told]
    once = len(world.lulls)
    assert all(len(set(heard[i : i + once])) == once for i in range(len(heard) - once + 1))
    assert len(heard) > once


@settings(deadline=None, max_examples=60)
@given(editions, seconds, estimates, st.floats(0.1, 0.9))
def test_pause_holds_everything_back_and_loses_nothing(
    edition: str, length: float, estimate: Estimate, part: float
) -> None:
    world = EDITIONS[edition]
    begun = dialogue.begin(world)
    first = [state for _, state in start(begun, world, length * part, estimate)][-1]
    held = first.model_copy(update={"paused": True})
    assert told_at(start(held, world, 300.0, estimate, at=length), held) == []
    going_on = held.model_copy(update={"paused": False})
    [resumed, *_] = told_at(start(going_on, world, length, estimate, at=length + 300), going_on)
    assert resumed[0] == 0.0
    assert resumed[1].split(":")[:2] not in [ref.split(":")[:2] for ref in going_on.log]


@settings(deadline=None, max_examples=60)
@given(editions, seconds, st.integers(0, 5), st.sampled_from(["ready", "ready_early", "failed", "retrying"]))
def test_a_cue_follows_what_was_told_whole_and_leaves_the_open_question_open(
    edition: str, length: float, answered: int, name: str
) -> None:
    world = EDITIONS[edition]
    state = dialogue.begin(world)
    for question in world.questions[:answered]:
        state = dialogue.answer(state, world, question.id, choice=question.choices[0].id, text=None)
    waiting = dialogue.open_question(state, world)
    *_, (_, before) = start(state, world, length, exact)
    assert dialogue.open_question(before, world) == waiting
    after = dialogue.cue(before, name)
    assert dialogue.open_question(after, world) == waiting
    *earlier, last = dialogue.entries(after, world)
    assert earlier == dialogue.entries(before, world)
    whole = {piece.text for piece in (*world.countdown, *world.lulls)}
    assert {entry.text for entry in earlier if isinstance(entry, PrologueFragment)} <= whole
    line = getattr(world, name)
    assert last == PrologueLine(
        seq=len(before.log), speaker=line.speaker, text=line.text, pause_ms=line.pause_ms
    )
    if waiting is not None:  # and can be answered
        dialogue.answer(after, world, waiting.id, choice=waiting.choices[-1].id, text=None)


@pytest.mark.parametrize("world", EDITIONS.values(), ids=EDITIONS)
def test_a_failed_start_says_so_offers_another_and_goes_on_where_it_was(world: World) -> None:
    state = dialogue.begin(world)
    *_, (_, state) = start(state, world, 30.0, exact)
    heard = state.count("fragment")
    said = list[str]()
    for name in ("failed", "retrying", "failed", "retrying", "failed"):
        state = dialogue.cue(state, name)
        said.append(state.log[-1])
        *_, (_, state) = start(state, world, 10.0, exact, at=100.0 * len(said))
    assert said == ["cue:failed", "cue:retrying", "cue:failed_again", "cue:retrying", "cue:failed_again"]
    fragments = [number(ref) for ref in state.log if kind(ref) == "fragment"]
    assert fragments == list(range(len(fragments)))
    assert len(fragments) > heard
    assert len({world.failed.text, world.failed_again.text, world.retrying.text}) == 3
    for line in (world.failed, world.failed_again):
        assert ("In plain words: " if world.language == "en" else "Im Klartext: ") in line.text


def test_a_new_start_begins_with_short_waits_again() -> None:
    begun = dialogue.begin(WORLD)
    *_, (_, tired) = start(begun, WORLD, 400.0, unknown)
    retried = dialogue.cue(dialogue.cue(tired, "failed"), "retrying")
    first, second, *_ = told_at(start(retried, WORLD, 60.0, unknown, at=500.0), retried)
    grown = limits().fragment_wait_s * limits().lull_growth ** 2
    assert grown <= second[0] - first[0] <= grown + TICK


def test_after_the_curtain_a_later_start_has_lulls_only() -> None:
    state = dialogue.cue(dialogue.progress(dialogue.begin(WORLD), WORLD, 0.0, 1000.0), "ready")
    later = told_at(start(state, WORLD, 60.0, exact), state)
    assert {kind(ref) for _, ref in later} == {"lull"}


def test_starts_without_number_leave_the_record_small_and_every_question_answered() -> None:
    most, state, now = limits().prologue_entries, dialogue.begin(WORLD), 0.0
    for _ in range(most):
        state = dialogue.cue(state, "failed")
        for _ in range(5):
            now += limits().lull_wait_s
            state = dialogue.progress(state, WORLD, 0.0, now)
        state = dialogue.cue(state, "retrying")
    assert len(state.log) == most
    state = dialogue.skip(dialogue.answer(state, WORLD, "name", choice=None, text="Ada"), WORLD, None)
    assert state.finished
    assert len(state.model_dump_json()) < 20_000
    assert dialogue.entries(state, WORLD)[-1].seq == len(state.log) - 1


def test_the_listener_is_asked_one_question_after_the_other_and_told_what_came_of_it() -> None:
    state = dialogue.begin(WORLD)
    name, companion, *others = WORLD.questions
    opening = dialogue.entries(state, WORLD)
    assert [entry.seq for entry in opening] == list(range(len(WORLD.opening) + 1))
    assert isinstance(opening[-1], PrologueQuestion)
    assert opening[-1].id == name.id
    state = dialogue.answer(state, WORLD, name.id, choice=None, text="  Ada \n Lovelace ")
    reply, question = dialogue.entries(state, WORLD, since=len(opening))
    assert isinstance(reply, PrologueLine)
    assert reply.text == name.free_reply
    assert isinstance(question, PrologueQuestion)
    state = dialogue.answer(state, WORLD, companion.id, choice=companion.choices[1].id, text=None)
    state = dialogue.skip(state, WORLD, others[0].id)
    assert [entry.text for entry in dialogue.entries(state, WORLD) if isinstance(entry, PrologueLine)][
        -2:
    ] == [
        companion.choices[1].reply,
        others[0].skip_reply,
    ]
    state = dialogue.skip(state, WORLD, None)
    done = dialogue.entries(state, WORLD)[-1]
    assert done == PrologueDone(
        seq=len(state.log) - 1, answers={"name": "Ada Lovelace", "companion": companion.choices[1].fact}
    )
    assert dialogue.open_question(state, WORLD) is None


def test_what_was_sent_twice_is_known_again() -> None:
    state = dialogue.answer(dialogue.begin(WORLD), WORLD, "name", choice=None, text="Ada")
    assert dialogue.is_repeat(state, "name", choice=None, text=" Ada ")
    assert not dialogue.is_repeat(state, "name", choice=None, text="Bob")
    assert not dialogue.is_repeat(state, "name", choice="wren", text=None)
    assert not dialogue.is_repeat(state, "companion", choice=None, text="Ada")
    state = dialogue.skip(state, WORLD, "companion")
    assert dialogue.was_skipped(state, "companion")
    assert not dialogue.was_skipped(state, "name")
    assert not dialogue.is_repeat(state, "companion", choice=None, text="")


@pytest.mark.parametrize(
    ("question", "choice", "text", "code"),
    [
        ("weather", None, "mild", "unknown_question"),
        ("gate", None, "by balloon", "unknown_question"),  # it was not asked yet
        ("name", None, "Ada", "already_answered"),
        ("companion", "dodo", None, "unknown_choice"),
        ("companion", None, None, "unknown_choice"),
        ("companion", None, " \n", "empty_text"),
        ("companion", None, "x" * (limits().answer_chars + 1), "text_too_long"),
    ],
)
def test_what_is_no_answer(question: str, choice: str | None, text: str | None, code: str) -> None:
    state = dialogue.answer(dialogue.begin(WORLD), WORLD, "name", choice="wren", text=None)
    with pytest.raises(Refusal, match=code):
        dialogue.answer(state, WORLD, question, choice=choice, text=text)


def test_words_are_no_answer_where_only_choices_are() -> None:
    first = WORLD.questions[0].model_copy(update={"free_text": False})
    world = WORLD.model_copy(update={"questions": (first, *WORLD.questions[1:])})
    with pytest.raises(Refusal, match="unknown_choice"):
        dialogue.answer(dialogue.begin(world), world, "name", choice=None, text="Ada")


def test_there_is_nothing_to_skip_but_the_open_question() -> None:
    state = dialogue.begin(WORLD)
    with pytest.raises(Refusal, match="unknown_question"):
        dialogue.skip(state, WORLD, "gate")
    with pytest.raises(Refusal, match="prologue_over"):
        dialogue.skip(dialogue.skip(state, WORLD, None), WORLD, None)
