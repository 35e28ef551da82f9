"""Which turns a prompt keeps. One token per character here."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambda_image.engine.errors import PromptError, PromptTooLong
from lambda_image.engine.generation.cache import common_prefix
from lambda_image.engine.generation.context import Message, _first, fit

SYSTEM = {"role": "system", "content": "SSS"}


def say(role: str, text: str) -> Message:
    return {"role": role, "content": text}


def encode(messages: Sequence[Message]) -> list[int]:
    return [ord(character) for message in messages for character in message["content"]]


def kept(
    messages: Sequence[Message], limit: int, budget: int | None = None, cached: str = ""
) -> tuple[str, int, int]:
    """The prompt, and what was dropped for the context and for the budget."""
    held = [ord(character) for character in cached]
    fitted = fit(messages, encode, limit, budget=budget, reusable=lambda ids: common_prefix(ids, held))
    return "".join(map(chr, fitted.ids)), fitted.dropped_turns, fitted.budget_dropped_turns


TALK = [
    SYSTEM,
    say("assistant", "oo"),  # an opening scene, before anyone spoke
    say("user", "aa"),
    say("assistant", "AA"),
    say("user", "bb"),
    say("assistant", "BB"),
    say("user", "cc"),
]


@pytest.mark.parametrize(
    ("limit", "text", "dropped"),
    [
        (15, "SSSooaaAAbbBBcc", 0),
        (14, "SSSbbBBcc", 2),  # 13 would fit, but then each turn from now on would lose its cache
        (12, "SSSbbBBcc", 2),
        (11, "SSScc", 3),
        (5, "SSScc", 3),
    ],
)
def test_oldest_turns_go_first_and_whole(limit: int, text: str, dropped: int) -> None:
    assert kept(TALK, limit) == (text, dropped, 0)


def test_a_turn_that_cannot_fit_is_refused_with_numbers() -> None:
    with pytest.raises(PromptTooLong, match="the last turn takes 5 tokens, 4 fit: shorten it"):
        kept(TALK, 4)
    with pytest.raises(PromptTooLong, match="takes 2 tokens, 1 fit"):
        kept([say("user", "aa")], 1)


def test_late_system_messages_belong_to_their_turn() -> None:
    talk = [SYSTEM, say("user", "aa"), say("system", "ss"), say("user", "bb")]
    assert kept(talk, 9)[:2] == ("SSSaassbb", 0)
    assert kept(talk, 8)[:2] == ("SSSbb", 1)


@pytest.mark.parametrize("messages", [[], [SYSTEM]])
def test_nothing_to_reply_to(messages: list[Message]) -> None:
    with pytest.raises(PromptError, match="hold no turn"):
        fit(messages, encode, 100)


@given(lengths=st.lists(st.integers(0, 30), min_size=1, max_size=40), limit=st.integers(0, 200))
def test_no_turn_is_dropped_without_need(lengths: list[int], limit: int) -> None:
    messages = [say("user", "x" * length) for length in lengths]
    if lengths[-1] > limit:
        with pytest.raises(PromptTooLong):
            fit(messages, encode, limit)
    else:
        assert fit(messages, encode, limit).dropped_turns == for_context(lengths, limit)


def for_context(lengths: Sequence[int], limit: int) -> int:
    """How many turns a full context costs: all above three quarters, where not all of them fit."""
    totals = [sum(lengths[dropped:]) for dropped in range(len(lengths))]
    if totals[0] <= limit:
        return 0
    roomy = (dropped for dropped, total in enumerate(totals) if dropped and total <= int(limit * 0.75))
    return next(roomy, len(lengths) - 1)


@pytest.mark.parametrize("budget", [None, 2000, 300])
@pytest.mark.parametrize("said", ["{}: I turn left.", "Go on."], ids=["new words", "the same words"])
def test_a_full_context_does_not_cost_each_turn_its_cache(said: str, budget: int | None) -> None:
    """Sixty turns after the context is full: most compute little of their prompt."""
    limit, talk, held, shares = 2000, [say("system", "S" * 100)], list[int](), list[float]()

    def reusable(ids: list[int]) -> int:
        return common_prefix(ids, held)

    for number in range(90):
        talk.append(say("user", said.format(number)))
        fitted = fit(talk, encode, limit, budget=budget, reusable=reusable)
        assert len(fitted.ids) <= limit
        assert fitted.ids[:100] == encode(talk[:1])
        if fitted.dropped_turns:
            shares.append(1 - common_prefix(fitted.ids, held) / len(fitted.ids))
        reply = say("assistant", f"{number} " + "and on we walk. " * (3 + number % 5))
        talk.append(reply)
        held[:] = fitted.ids + encode([reply])
    assert len(shares) > 60
    assert sum(share < 0.2 for share in shares) > 0.75 * len(shares)
    assert sum(shares) / len(shares) < 0.25


@given(low=st.integers(0, 50), span=st.integers(1, 1000), answer=st.floats(0, 1), guess=st.integers(-9, 1100))
def test_few_looks_find_it_whatever_the_guess(low: int, span: int, answer: float, guess: int) -> None:
    looks: list[int] = []
    first = low + 1 + round(answer * (span - 1))

    def fits(count: int) -> bool:
        looks.append(count)
        return count >= first

    assert _first(fits, low, low + span, guess) == first
    assert len(looks) <= 2 * (span.bit_length() + 1)
    assert low < min(looks, default=low + 1)
    assert max(looks, default=low) < low + span


# The budget


@pytest.mark.parametrize(
    ("budget", "cached", "expected"),
    [
        (15, "", ("SSSooaaAAbbBBcc", 0, 0)),
        (14, "", ("SSSaaAAbbBBcc", 0, 1)),
        (12, "SSS", ("SSSooaaAAbbBBcc", 0, 0)),  # the fixed prefix is there already
        (9, "SSS", ("SSSbbBBcc", 0, 2)),
        (2, "SSSooaaAAbbBB", ("SSSooaaAAbbBBcc", 0, 0)),  # the turn before was told here
        (1, "SSSooaaAAbbBB", ("SSScc", 0, 3)),  # too much even so, but the last turn stays
        (0, "", ("SSScc", 0, 3)),
    ],
)
def test_what_takes_too_long_to_compute_is_left_out(
    budget: int, cached: str, expected: tuple[str, int, int]
) -> None:
    assert kept(TALK, 100, budget, cached) == expected


def test_context_and_budget_are_reported_apart() -> None:
    assert kept(TALK, 13, 8) == ("SSScc", 2, 1)
    assert kept(TALK, 5, 1) == ("SSScc", 3, 0)


def test_no_budget_no_question() -> None:
    def never(ids: list[int]) -> int:
        raise AssertionError

    assert fit(TALK, encode, 15, reusable=never).budget_dropped_turns == 0


def test_the_budget_never_refuses_a_turn() -> None:
    assert kept([SYSTEM, say("user", "x" * 50)], 100, 5)[0] == "SSS" + "x" * 50


@given(turns=st.integers(2, 30), budget=st.integers(30, 120), later=st.integers(1, 8))
def test_a_trimmed_story_goes_on_from_its_cache(turns: int, budget: int, later: int) -> None:
    """What was left out once is left out again, and little is computed, as long as the environment lives."""
    talk: list[Message] = [SYSTEM]
    for number in range(turns):
        talk += [say("user", f"{number:02}?"), say("assistant", f"{number:02} and on we walk")]
    talk.append(say("user", "99?"))
    text, _, left_out = kept(talk, 10_000, budget)
    for number in range(later):
        cached = text + f"{number:02} said"
        talk += [say("assistant", f"{number:02} said"), say("user", f"{number:02}!")]
        text, dropped, again = kept(talk, 10_000, budget, cached)
        assert (dropped, again) == (0, left_out)
        assert text == cached + f"{number:02}!"


@given(
    lengths=st.lists(st.integers(0, 30), min_size=1, max_size=40),
    limit=st.integers(30, 300),
    budget=st.integers(0, 300),
)
def test_a_cold_budget_is_a_tighter_context(lengths: list[int], limit: int, budget: int) -> None:
    messages = [say("user", "x" * length) for length in lengths]
    totals = [sum(lengths[dropped:]) for dropped in range(len(lengths))]
    _, dropped, left_out = kept(messages, limit, budget)
    assert dropped == for_context(lengths, limit)
    assert dropped + left_out == next(
        (count for count, total in enumerate(totals) if total <= budget and count >= dropped), len(totals) - 1
    )


@pytest.mark.parametrize("budget", [None, 300])
def test_long_stories_are_read_about_once(budget: int | None) -> None:
    """1 MB in 1,000 turns: beside the whole, only what about fits is encoded."""
    messages = [say("user", "x" * (500 + 7 * (number % 140))) for number in range(1000)]
    read: list[int] = []

    def counting(some: Sequence[Message]) -> list[int]:
        ids = encode(some)
        read.append(len(ids))
        return ids

    fitted = fit(messages, counting, 4000, budget=budget)
    assert 0 < fitted.dropped_turns < 999
    whole, *others = read
    assert whole > 900_000
    assert sum(others) < 60_000
