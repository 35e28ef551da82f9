"""The outcome of one invoke."""

import json
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class InvokeResult:
    """`payload` is the JSON that the function returned, or the error document when `failed`.

    `environment_lost`: the runtime exited, timed out or never started, so its environment can't serve again.
    """

    payload: bytes
    failed: bool = False
    environment_lost: bool = False

    @classmethod
    def lost(cls, error_type: str, message: str) -> "InvokeResult":
        error = {"errorType": error_type, "errorMessage": message}
        return cls(json.dumps(error).encode(), failed=True, environment_lost=True)
