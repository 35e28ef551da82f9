"""What a reply is made of, for whoever passes it on."""

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, computed_field

FinishReason = Literal["stop", "length", "loop", "cancelled"]
# stop: the model ended its turn, or said a stop string; length: max_tokens or the context is used up;
# loop: the model repeated itself without end; cancelled: should_stop said so


class ReplyMetrics(BaseModel):
    """What one reply took. Seconds; the time in which the consumer held a piece is not counted."""

    prompt_tokens: int
    dropped_turns: int  # oldest turns left out because the context was full
    budget_dropped_turns: int = 0  # further turns left out because computing them would have taken too long
    kv_reused_tokens: int = 0  # of the prompt, found in the cache instead of computed
    kv_lost_tokens: int = 0  # of the cache, thrown away because the prompt doesn't go on like them
    prefill_tokens: int = 0  # of the prompt, computed
    completion_tokens: int = 0  # sampled, the end-of-turn token included
    speculated_tokens: int = 0  # proposed by prompt lookup, and computed
    accepted_tokens: int = 0  # of them, those that the sampler drew too
    prefill_s: float = 0.0
    ttft_s: float | None = (
        None  # from the call to the first token: tokenizing and prefill; None if there was no token
    )
    decode_s: float = 0.0  # of all tokens after the first

    @computed_field  # type: ignore[prop-decorator]  # mypy doesn't know decorated properties
    @property
    def decode_tokens_per_s(self) -> float | None:
        return (self.completion_tokens - 1) / self.decode_s if self.decode_s > 0 else None


@dataclass(frozen=True)
class ReplyEnd:
    finish_reason: FinishReason
    metrics: ReplyMetrics
    ids: tuple[int, ...] = ()  # every sampled token, an end-of-turn token included


@dataclass(frozen=True)
class Piece:
    """Text that became certain with one token, "" while a character or a possible stop string is unfinished.

    Only the last piece has `end`.
    """

    text: str
    end: ReplyEnd | None = None
