"""The platform's limits and waits, read from `settings.toml`.

Durations are seconds, sizes are bytes unless the name says otherwise.
"""

import tomllib
from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt

SETTINGS_FILE = Path(__file__).with_name("settings.toml")


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FunctionDefaults(_Section):
    environments: PositiveInt
    idle_s: PositiveFloat
    timeout_s: PositiveInt
    memory_mb: PositiveInt
    maximum_event_age_s: PositiveFloat
    maximum_retry_attempts: Annotated[int, Field(ge=0, le=2)]


class QueueSettings(_Section):
    throttle_backoff_s: PositiveFloat
    throttle_backoff_max_s: PositiveFloat
    retry_waits_s: tuple[PositiveFloat, PositiveFloat]


class PayloadLimits(_Section):
    event_bytes: PositiveInt
    request_bytes: PositiveInt


class Identity(_Section):
    region: str
    account: str
    version: str
    failure_queue: str

    def function_arn(self, name: str) -> str:
        """The ARN that the handler's context shows as `invoked_function_arn`."""
        return f"arn:aws:lambda:{self.region}:{self.account}:function:{name}"


class ProcessLimits(_Section):
    start_s: PositiveFloat
    start_attempts: PositiveInt
    overrun_s: PositiveFloat
    stop_s: PositiveFloat


class Settings(_Section):
    function: FunctionDefaults
    queue: QueueSettings
    payload: PayloadLimits
    identity: Identity
    process: ProcessLimits


@cache
def load_settings(path: Path = SETTINGS_FILE) -> Settings:
    """Raises pydantic's `ValidationError`, which names the wrong key."""
    return Settings.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
