"""Identifiers in the forms that AWS gives them. Randomness is passed in: `randomness(n)` returns n bytes."""

import base64
import re
import uuid
from collections.abc import Callable

Randomness = Callable[[int], bytes]

_SHORT_ID = re.compile(r"[A-Za-z0-9_-]{15}=")  # URL-safe base64 of 11 bytes


def short_id(randomness: Randomness) -> str:
    """A connection, request or message id, like `PJqB0fHsqRcCHlw=`."""
    return base64.urlsafe_b64encode(randomness(11)).decode("ascii")


def is_short_id(text: str) -> bool:
    """Whether `text` has the form of a connection id; if not, a request for it is bad rather than late."""
    return _SHORT_ID.fullmatch(text) is not None


def trace_id(randomness: Randomness, now: float) -> str:
    """The value of `X-Amzn-Trace-Id` for a request at Unix time `now`."""
    return f"Root=1-{int(now):08x}-{randomness(12).hex()}"


def request_uuid(randomness: Randomness) -> str:
    """The value of `x-amzn-RequestId` on an answer of `@connections`."""
    return str(uuid.UUID(bytes=randomness(16), version=4))
