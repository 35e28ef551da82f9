"""Invokes that need no session and no table, for whoever may invoke the function: what serves, and a reply.

A container on a laptop answers them: docs/image.md.
"""

import time
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, ValidationError

from lambda_image.engine.bundle.config import first_error
from lambda_image.narrator import Narrator
from lambda_image.waking import SleepingModel
from session.limits import limits

EXAMPLE = (
    '{"kind": "tell", "messages": [{"role": "user", "content": "I knock."}], "seed": 1, "max_tokens": 64}'
)
MARGIN_S = 2  # before the invocation's end, so that what was told by then is answered


class _Said(BaseModel):
    model_config = ConfigDict(extra="forbid")
    role: Literal["system", "user", "assistant"]
    content: str


class Tell(BaseModel):
    """As `EXAMPLE`. The same seed tells the same text on every CPU."""

    model_config = ConfigDict(extra="forbid")
    kind: Literal["tell"]
    messages: Annotated[list[_Said], Field(min_length=1)]
    seed: NonNegativeInt = 0
    max_tokens: Annotated[int, Field(ge=1, le=4096)] = 64


def about(model: SleepingModel) -> dict[str, Any]:
    """What serves in this environment once the model is awake, and whether it was before this was asked.

    Raises LoadError, BundleError.
    """
    was_awake = model.narrator is not None
    return awake(model).about() | {"awake": was_awake}


def tell(model: SleepingModel, event: Mapping[str, Any], *, deadline: float) -> dict[str, Any]:
    """The reply to a `Tell`, what it took, and why it ended; cut short at `deadline` (monotonic seconds).

    Raises ValueError for an event that is none, LoadError, PromptError.
    """
    try:
        wanted = Tell.model_validate(event)
    except ValidationError as error:
        raise ValueError(f"{first_error(error)}; for example: {EXAMPLE}") from None
    messages = [message.model_dump() for message in wanted.messages]
    pieces = list(
        awake(model).reply(
            messages,
            max_tokens=wanted.max_tokens,
            seed=wanted.seed,
            should_stop=lambda: time.monotonic() > deadline - MARGIN_S,
        )
    )
    end = pieces[-1].end
    assert end is not None
    return {
        "text": "".join(piece.text for piece in pieces),
        "finish_reason": end.finish_reason,
        "metrics": end.metrics.model_dump(),
    }


def awake(model: SleepingModel) -> Narrator:
    """The model, loaded now if it isn't. Raises LoadError."""
    for _ in model.wake(limits().progress_s):
        pass
    assert model.narrator is not None
    return model.narrator
