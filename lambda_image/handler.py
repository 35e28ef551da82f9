"""The model function's Lambda handler.

Importing it starts reading the weights in the background, parses the tokenizer, and imports nothing else that
is heavy, so that init stays far below Lambda's 10 s. The model itself is loaded inside the first invocation,
which reports the progress.
"""

import os
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lambda_image.engine.bundle.readahead import ReadAhead
from session import telemetry

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from lambda_image.service import ModelService
    from lambda_image.waking import SleepingModel

STARTED = time.monotonic()
BUNDLE = Path(os.environ["BUNDLE_DIR"])
READAHEAD = ReadAhead(BUNDLE / "weights.bin", min_seconds=float(os.environ.get("COLD_START_S", "0")))
READAHEAD.start()


def _tokenizer() -> "Tokenizer | None":
    """The bundle's, parsed; None if it can't be: loading the model then says why."""
    try:
        from tokenizers import Tokenizer

        return Tokenizer.from_file(str(BUNDLE / "tokenizer.json"))
    except Exception:  # tokenizers raises nothing narrower, and init must not fail
        return None


# Parsing a large vocabulary stops every other thread for most of a second: here nobody waits for reports yet.
TOKENIZER = _tokenizer()


def lambda_handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Serves one session, `{"kind": "serve", "session_id": ..., "epoch": ...}`; or tests the whole model and
    tells what serves here, `{"kind": "about"}`; or replies, `{"kind": "tell", ...}` as in `direct.Tell`."""
    telemetry.begin(context, session_id=event.get("session_id"))
    kind = event.get("kind")
    deadline = time.monotonic() + context.get_remaining_time_in_millis() / 1000
    if kind in ("about", "tell"):
        from lambda_image import direct

        return direct.about(_model()) if kind == "about" else direct.tell(_model(), event, deadline=deadline)
    if kind != "serve":
        raise ValueError(f"unknown kind of event {kind!r}; known: 'serve', 'about', 'tell'")
    return _service().serve(
        event["session_id"],
        event["epoch"],
        holder=context.aws_request_id,
        deadline=deadline,
        memory_mb=int(context.memory_limit_in_mb),
    )


@cache
def _model() -> "SleepingModel":
    from lambda_image.service import make_model

    return make_model(BUNDLE, READAHEAD, started=STARTED, tokenizer=TOKENIZER)


@cache
def _service() -> "ModelService":
    from lambda_image.service import make_service

    return make_service(_model())
