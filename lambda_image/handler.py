"""The model function's Lambda handler.

Importing it starts reading the weights in the background, parses the tokenizer, and imports nothing else that
is heavy, so that init stays far below Lambda's 10 s. The model itself is loaded inside the first invocation,
which reports the progress. Where Lambda keeps environments provisioned, init may take 15 minutes and nobody
waits for it: there the model is loaded at once.
"""

import logging
import os
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lambda_image.engine.bundle.readahead import ReadAhead
from session import telemetry

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from lambda_image.engine.bundle.s3 import S3Weights
    from lambda_image.service import ModelService
    from lambda_image.waking import SleepingModel

log = logging.getLogger(__name__)
STARTED = time.monotonic()
PROVISIONED = os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "provisioned-concurrency"
BUNDLE = Path(os.environ["BUNDLE_DIR"])


def _reading() -> "ReadAhead | S3Weights":
    """Of the weights in the image; or out of S3, where the stack says that they lie there."""
    if url := os.environ.get("WEIGHTS_URL"):
        from lambda_image.engine.bundle.s3 import S3Weights

        return S3Weights(BUNDLE, url)
    return ReadAhead(BUNDLE / "weights.bin", min_seconds=float(os.environ.get("COLD_START_S", "0")))


READAHEAD = _reading()
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

        if kind == "tell":
            return direct.tell(_model(), event, deadline=deadline)
        return direct.about(_model()) | {"memory_limit_mb": int(context.memory_limit_in_mb)}
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

    return make_service(_model(), provisioned=PROVISIONED)


def _wake_before_anybody_asks() -> None:
    """Loads the model, and makes the service. What fails is not init's end: an invocation tries it again, and
    its listener hears of it."""
    from lambda_image import direct

    telemetry.begin()
    try:
        direct.awake(_model())
        _service()
    except Exception:
        log.exception("nothing is awake in this provisioned environment; its first invocation tries again")
    else:
        log.info("awake before anybody asked, %.1f s after the process began", time.monotonic() - STARTED)


if PROVISIONED:
    _wake_before_anybody_asks()
