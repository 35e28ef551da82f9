"""Which turns a prompt keeps. One token per character here."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambda_image.engine.errors import PromptError, PromptTooLong
from lambda_image.engine.generation.context import Message, fit

SYSTEM = {"role": "system", "content": "SSS"}


def say(role: str, text: str) -> Message:
    return {"role": role, "content": text}


def encode(messages: Sequence[Message]) -> list[int]:
    return [ord(character) for message in messages for character in message["content"]]


def kept(messages: Sequence[Message], limit: int) -> tuple[str, int]:
    ids, dropped = fit(messages, encode, limit)
    return "".join(map(chr, ids)), dropped


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
        (14, "SSSaaAAbbBBcc", 1),
        (12, "SSSbbBBcc", 2),
        (8, "SSScc", 3),
        (5, "SSScc", 3),
    ],
)
def test_oldest_turns_go_first_and_whole(limit: int, text: str, dropped: int) -> None:
    assert kept(TALK, limit) == (text, dropped)


def test_a_turn_that_cannot_fit_is_refused_with_numbers() -> None:
    with pytest.raises(PromptTooLong, match="the last turn takes 5 tokens, 4 fit: shorten it"):
        kept(TALK, 4)
    with pytest.raises(PromptTooLong, match="takes 2 tokens, 1 fit"):
        kept([say("user", "aa")], 1)


def test_late_system_messages_belong_to_their_turn() -> None:
    talk = [SYSTEM, say("user", "aa"), say("system", "ss"), say("user", "bb")]
    assert kept(talk, 9) == ("SSSaassbb", 0)
    assert kept(talk, 8) == ("SSSbb", 1)


@pytest.mark.parametrize("messages", [[], [SYSTEM]])
def test_nothing_to_reply_to(messages: list[Message]) -> None:
    with pytest.raises(PromptError, match="hold no turn"):
        fit(messages, encode, 100)


@given(lengths=st.lists(st.integers(1, 30), min_size=1, max_size=12), limit=st.integers(0, 200))
def test_as_few_turns_are_dropped_as_possible(lengths: list[int], limit: int) -> None:
    messages = [say("user", "x" * length) for length in lengths]
    totals = [sum(lengths[dropped:]) for dropped in range(len(lengths))]
    fitting = [dropped for dropped, total in enumerate(totals) if total <= limit]
    if not fitting:
        with pytest.raises(PromptTooLong):
            fit(messages, encode, limit)
    else:
        assert fit(messages, encode, limit)[1] == fitting[0]
