"""What a story may use: turns and tokens, in all and in a day (`session/limits.toml`)."""

from session.errors import Refusal
from session.events import Usage
from session.limits import limits
from session.record import Spent
from session.step import Step

_DAY_S = 86_400


def check(step: Step, *, tokens: bool) -> None:
    """Whether there is room for one more turn, and with `tokens` for one that the model tells.

    Raises Refusal (too_many_turns, too_many_tokens, too_many_turns_today, too_many_tokens_today)."""
    spent, at_most = _today(step), limits()
    if spent.turns >= at_most.session_turns:
        raise Refusal("too_many_turns", f"This story has its {at_most.session_turns:,} turns.")
    if tokens and spent.tokens >= at_most.session_tokens:
        raise Refusal("too_many_tokens", f"This story has its {at_most.session_tokens:,} tokens.")
    if spent.day_turns >= at_most.daily_turns:
        raise Refusal("too_many_turns_today", f"The story had {at_most.daily_turns:,} turns today.")
    if tokens and spent.day_tokens >= at_most.daily_tokens:
        raise Refusal("too_many_tokens_today", f"The story had {at_most.daily_tokens:,} tokens today.")


def count_turn(step: Step) -> None:
    spent = _today(step)
    counted = {"turns": spent.turns + 1, "day_turns": spent.day_turns + 1}
    step.set(spent=spent.model_copy(update=counted))


def count_tokens(step: Step, usage: Usage) -> None:
    spent, tokens = _today(step), usage.completion_tokens
    counted = {"tokens": spent.tokens + tokens, "day_tokens": spent.day_tokens + tokens}
    step.set(spent=spent.model_copy(update=counted))


def _today(step: Step) -> Spent:
    """A new day (UTC) begins at nothing. It never goes back: a host's clock may be slow."""
    spent, today = step.session.spent, int(step.now // _DAY_S)
    if today <= spent.day:
        return spent
    return spent.model_copy(update={"day": today, "day_turns": 0, "day_tokens": 0})
