"""What one step of a session tells of how the house does. It was stored once, so it is counted once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from session.actions import Action, Post
from session.errors import Refusal
from session.events import Metrics, TurnDone, Usage
from session.inputs import HouseFull, Input, InvokeFailed, Rested
from session.record import Session, Turn
from session.step import Outcome

# Turns that ended so are nobody's failure: nobody listened any more, or the house did what it was told to.
_AS_IT_SHOULD_BE = ("listener_gone", "daily_cap", "house_full")


@dataclass(frozen=True)
class Measured:
    """Values by the names of `telemetry.UNITS`; `told` says what they are about."""

    values: dict[str, float]
    told: dict[str, str] = field(default_factory=dict)


def measures(before: Session, event: Input, outcome: Outcome, now: float) -> Iterator[Measured]:
    """`before`: the record that the step began with."""
    after = outcome.session
    if isinstance(event, InvokeFailed) and event.again:
        yield Measured({"Throttles": 1})
    if after is None:
        return
    if isinstance(event, Rested):
        yield Measured({"CapsReached": 1}, {"reason": "listener" if event.own else "house"})
    if isinstance(event, HouseFull) and event.place is not None:
        yield Measured({"QueueLength": event.place})
    if before.queued_at and not after.queued_at and after.seat.holder:
        yield Measured({"QueueSeconds": max(0.0, now - before.queued_at)})
    for turn in outcome.archive:
        told = {"turn_id": turn.turn_id, "model": before.model_name}
        told |= {"status": turn.status, "reason": turn.finish_reason}
        yield Measured(_ended(turn, _done(turn, outcome.actions)), told)
    if after.model.state == "failed" != before.model.state:
        if after.model.message == Refusal("house_full").message:
            yield Measured({"Throttles": 1}, {"reason": "house_full"})
        elif not outcome.archive:
            yield Measured({"Failures": 1}, {"model": before.model_name, "reason": "start"})


def _done(turn: Turn, actions: Sequence[Action]) -> TurnDone | None:
    posted = (action.frame for action in actions if isinstance(action, Post))
    ends = (frame for frame in posted if isinstance(frame, TurnDone))
    return next((done for done in ends if (done.turn_id, done.version) == (turn.turn_id, turn.version)), None)


def _ended(turn: Turn, done: TurnDone | None) -> dict[str, float]:
    values: dict[str, float] = {"TurnsEnded": 1}
    if turn.status == "stopped":
        values["Stops"] = 1
    elif turn.status != "completed" and turn.finish_reason not in _AS_IT_SHOULD_BE:
        values["Failures"] = 1
    if turn.source == "faq":
        values["FaqHits"] = 1
    if done is not None and done.saved is not None:
        values["FaqSavedUSD"] = done.saved.cost_usd
    if done is not None and done.metrics is not None:
        values |= _reply(done.metrics, done.usage or Usage())
    return values


def _reply(took: Metrics, usage: Usage) -> dict[str, float]:
    values = {"CostUSD": took.cost_usd, "GeneratedTokens": float(usage.completion_tokens)}
    if usage.completion_tokens:
        values["TTFT"] = took.ttft_s
    if took.decode_tokens_per_s:
        values["TokensPerSecond"] = took.decode_tokens_per_s
    return values
