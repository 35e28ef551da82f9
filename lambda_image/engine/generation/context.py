"""Fits a conversation into the context: oldest turns go first, whole; system message and last turn stay."""

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from itertools import chain, takewhile

from lambda_image.engine.errors import PromptError, PromptTooLong

Message = Mapping[str, str]


def fit(
    messages: Sequence[Message], encode: Callable[[Sequence[Message]], list[int]], limit: int
) -> tuple[list[int], int]:
    """Prompt ids, at most `limit` of them, and the number of turns that were dropped for it.

    A turn is a user message and what follows it up to the next one; system messages at the start belong to
    none. PromptTooLong if the last turn alone is too long.
    """
    system = list(takewhile(lambda message: message.get("role") == "system", messages))
    turns: list[list[Message]] = []
    for message in messages[len(system) :]:
        if message.get("role") == "user" or not turns:
            turns.append([])
        turns[-1].append(message)
    if not turns:
        raise PromptError("there is nothing to reply to: the messages hold no turn")

    def without(dropped: int) -> list[int]:
        return encode([*system, *chain.from_iterable(turns[dropped:])])

    ids, dropped = without(0), 0
    if len(ids) > limit:
        last = len(turns) - 1
        dropped = (
            bisect_left(range(last), True, lo=1, key=lambda count: len(without(count)) <= limit)
            if last
            else 0
        )
        ids = without(dropped)
    if len(ids) > limit:
        raise PromptTooLong(f"the last turn takes {len(ids)} tokens, {limit} fit: shorten it")
    return ids, dropped
