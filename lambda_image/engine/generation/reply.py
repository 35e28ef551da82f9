"""What a reply is made of, for whoever passes it on. No torch here."""

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, computed_field

FinishReason = Literal["stop", "length", "cancelled"]
# stop: the model ended its turn; length: max_tokens or the context is used up; cancelled: should_stop said so


class ReplyMetrics(BaseModel):
    """What one reply took. Seconds; the time in which the consumer held a piece is not counted."""

    prompt_tokens: int
    dropped_turns: int  # oldest turns left out because the context was full
    kv_reused_tokens: int = 0  # of the prompt, found in the cache instead of computed
    completion_tokens: int = 0  # sampled, the end-of-turn token included
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


@dataclass(frozen=True)
class Piece:
    """Text that one token completed, "" while a character is unfinished. Only the last piece has `end`."""

    text: str
    end: ReplyEnd | None = None
