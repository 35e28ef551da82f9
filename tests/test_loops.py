"""Which repetition is a loop, and which is a story's."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambda_image.engine.generation.loops import CYCLES, LONGEST, TOKENS, LoopDetector


def noticed_after(ids: list[int]) -> int | None:
    """How many tokens a detector needs to see; None if it sees no loop."""
    detector = LoopDetector()
    return next((number for number, token in enumerate(ids, 1) if detector.push(token)), None)


def sentence(length: int, seed: int = 0) -> list[int]:
    """Different words: no shorter cycle inside."""
    return random.Random(seed).sample(range(100, 2000), length)


@pytest.mark.parametrize("period", [1, 2, 3, 7, 13, 31, 32, 33, 64, 100, LONGEST])
def test_an_endless_cycle_is_a_loop(period: int) -> None:
    story = sentence(300, seed=1)
    assert noticed_after(story + sentence(period) * 200) == 300 + max(CYCLES * period, TOKENS)


@given(period=st.integers(1, LONGEST), lead=st.integers(0, 40), first=st.integers(0, 127))
def test_it_ends_within_four_cycles_wherever_it_began(period: int, lead: int, first: int) -> None:
    cycle = sentence(period, seed=period)
    start = first % period
    found = noticed_after(sentence(lead, seed=-1) + cycle[start:] + cycle * 200)
    assert found is not None
    assert found <= lead + (period - start) + max(CYCLES * period, TOKENS)


def test_a_refrain_between_verses_is_a_story() -> None:
    refrain = sentence(40)
    song = [token for verse in range(30) for token in [*sentence(25, seed=verse + 1), *refrain]]
    assert noticed_after(song) is None


@pytest.mark.parametrize(
    ("length", "times"),
    [
        (1, 100),  # a long row of dots
        (5, 20),  # "row, row, row your boat"
        (12, 10),  # a sentence written ten times as a punishment
        (40, 3),  # a chorus, three times
        (100, 3),
    ],
)
def test_a_chant_is_a_story(length: int, times: int) -> None:
    assert noticed_after(sentence(200, seed=1) + sentence(length) * times + sentence(200, seed=2)) is None


def test_a_list_with_one_new_word_per_line_is_a_story() -> None:
    line = sentence(9)
    assert noticed_after([token for number in range(200) for token in [*line, 3000 + number]]) is None


def test_counting_starts_anew_after_an_interruption() -> None:
    almost = sentence(4) * 31
    assert noticed_after([*almost, 9] * 3) is None
    assert noticed_after(almost + sentence(4)) == 128


@given(st.lists(st.integers(0, 1), max_size=400))
def test_by_definition(ids: list[int]) -> None:
    """A reply is in a loop if its end is a cycle, often and long enough."""

    def looping(seen: list[int]) -> bool:
        for period in range(1, LONGEST + 1):
            length = max(CYCLES * period, TOKENS)
            tail = seen[len(seen) - length :]
            if len(seen) >= length and tail[period:] == tail[:-period]:
                return True
        return False

    expected = next((n for n in range(TOKENS, len(ids) + 1) if looping(ids[:n])), None)
    assert noticed_after(ids) == expected
