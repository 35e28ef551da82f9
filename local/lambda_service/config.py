"""What one function is: the part of a Lambda function's configuration that the local one honours."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt

from local.lambda_service.settings import load_settings

REPOSITORY = Path(__file__).parents[2]


class FunctionConfig(BaseModel):
    """`handler` is `package.module.function`, imported with `task_root` as working directory.

    `env` is all that the handler sees of the caller's environment besides `PATH` and its like. An event's age
    is not held to Lambda's 60 s minimum, so that tests need not wait a minute.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    handler: str
    env: Mapping[str, str] = Field(default_factory=dict)
    task_root: Path = REPOSITORY
    environments: PositiveInt = Field(default_factory=lambda: load_settings().function.environments)
    idle_s: PositiveFloat = Field(default_factory=lambda: load_settings().function.idle_s)
    timeout_s: PositiveInt = Field(default_factory=lambda: load_settings().function.timeout_s)
    memory_mb: PositiveInt = Field(default_factory=lambda: load_settings().function.memory_mb)
    maximum_event_age_s: PositiveFloat = Field(
        default_factory=lambda: load_settings().function.maximum_event_age_s
    )
    maximum_retry_attempts: Annotated[int, Field(ge=0, le=2)] = Field(
        default_factory=lambda: load_settings().function.maximum_retry_attempts
    )
