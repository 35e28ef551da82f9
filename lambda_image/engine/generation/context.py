"""Fits a conversation into the context: oldest turns go first, whole; system message and last turn stay.

Two limits. The context is hard. The budget is what may be computed before the first token, so that nobody
waits minutes for an environment that holds nothing of the conversation; it never costs the last turn.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate, chain, takewhile
from typing import NamedTuple

from lambda_image.engine.errors import PromptError, PromptTooLong

ROOM = 0.75  # of the context is filled where it was full: what was dropped turn by turn is computed each time

Message = Mapping[str, str]


class Fitted(NamedTuple):
    """A prompt, and the numbers of turns left out for the context and, beyond these, for the budget."""

    ids: list[int]
    dropped_turns: int
    budget_dropped_turns: int


def fit(
    messages: Sequence[Message],
    encode: Callable[[Sequence[Message]], list[int]],
    limit: int,
    *,
    budget: int | None = None,
    reusable: Callable[[list[int]], int] = lambda ids: 0,
) -> Fitted:
    """Prompt ids, at most `limit` of them.

    Where there are more, a prompt that was trimmed before goes on from its cache as long as it fits; else
    turns are left out down to `ROOM` of the limit, so that the next ones find room and a cache. For the
    budget, as few turns are left out as it allows.

    A turn is a user message and what follows it up to the next one; system messages at the start belong to
    none. `reusable` says how many leading ids need no computing, `budget` how many may be computed; None: any
    number. PromptTooLong if the last turn alone is longer than `limit`.
    """
    system = list(takewhile(lambda message: message.get("role") == "system", messages))
    turns: list[list[Message]] = []
    for message in messages[len(system) :]:
        if message.get("role") == "user" or not turns:
            turns.append([])
        turns[-1].append(message)
    if not turns:
        raise PromptError("there is nothing to reply to: the messages hold no turn")
    last = len(turns) - 1

    def encoded(kept: Sequence[Sequence[Message]]) -> list[int]:
        return encode([*system, *chain.from_iterable(kept)])

    def computed(ids: list[int]) -> int:
        return len(ids) - reusable(ids)

    everything = ids = encoded(turns)
    lengths = [_length(system) + rest for rest in accumulate(_length(turn) for turn in reversed(turns))][::-1]

    def search(dropped: int, size: Callable[[list[int]], int], most: int) -> int:
        """The fewest turns above `dropped` without which `size` is at most `most`, or all but the last."""
        share = most * lengths[0] / len(everything)  # how much text that is, roughly
        guess = next((count for count in range(dropped + 1, last) if lengths[count] <= share), last)
        return _first(lambda count: size(encoded(turns[count:])) <= most, dropped, last, guess)

    def going_on(fewest: int) -> int | None:
        """The turn that the cache goes on with from the system message, if most of that prompt is in it."""
        found = [reusable(encoded(turns[number : number + 1])) for number in range(fewest, last)]
        if not found or max(found) <= reusable(encoded(turns[last:])):
            return None
        number = fewest + found.index(max(found))
        longer = encoded(turns[number:])
        return number if 2 * reusable(longer) > len(longer) else None

    for_context = 0
    if len(ids) > limit:
        fewest = search(0, len, limit)
        ids = encoded(turns[fewest:])
        if len(ids) > limit:
            raise PromptTooLong(f"the last turn takes {len(ids)} tokens, {limit} fit: shorten it")
        again = going_on(fewest)
        for_context = search(fewest - 1, len, int(limit * ROOM)) if again is None else again
        ids = encoded(turns[for_context:])
    if budget is None or for_context == last or computed(ids) <= budget:
        return Fitted(ids, for_context, 0)

    # If an earlier prompt was trimmed, the cache goes on like some turn further back: all after it is cheap.
    shared = reusable(ids)
    dropped = search(for_context, computed, budget)
    ids = encoded(turns[dropped:])
    for earlier in range(dropped - 1, for_context, -1):
        if reusable(encoded(turns[earlier : earlier + 1])) > shared:
            longer = encoded(turns[earlier:])
            if computed(longer) <= budget:
                return Fitted(longer, for_context, earlier - for_context)
    return Fitted(ids, for_context, dropped - for_context)


def _length(messages: Sequence[Message]) -> int:
    return sum(len(message.get("content", "")) for message in messages)


def _first(fits: Callable[[int], bool], low: int, high: int, guess: int) -> int:
    """The first number above `low` that fits, or `high`, which isn't tried. Few looks if `guess` is close."""
    step = 1
    while high - low > 1:
        if not low < guess < high:
            guess = (low + high) // 2
        if fits(guess):
            high, guess = guess, guess - step
        else:
            low, guess = guess, guess + step
        step *= 2
    return high
