"""What both functions are told by their environment, and the AWS clients made from it."""

import os
from collections.abc import Callable, Mapping
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveInt

from prologue.compiled import load_world
from prologue.schema import WORLDS
from session import aws
from session.caps import Caps
from session.dynamodb import DynamoStore
from session.posting import GatewayPoster

if TYPE_CHECKING:
    from prologue.schema import World


class Settings(BaseModel):
    """Environment variables, in lower case. Raises pydantic's ValidationError naming what is missing."""

    model_config = ConfigDict(extra="ignore", frozen=True, defer_build=True)

    table_name: str
    callback_url: str = Field(pattern=r"^https?://")  # of @connections: https://API.../STAGE
    worlds_dir: Path = WORLDS
    capacity: PositiveInt = 1  # environments of one model function that may work at a time
    # Caps of a day (UTC), in seconds; 0 is no cap. Those of session/limits.toml where they are left out.
    model_seconds_per_day: NonNegativeFloat | None = None  # of all models together
    model_seconds_per_day_ticket: NonNegativeFloat | None = None
    model_seconds_per_day_address: NonNegativeFloat | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        return cls.model_validate({name.lower(): value for name, value in environment.items()})

    def caps(self) -> Caps:
        told = {
            "stack": self.model_seconds_per_day,
            "ticket": self.model_seconds_per_day_ticket,
            "address": self.model_seconds_per_day_address,
        }
        known = {name: seconds for name, seconds in told.items() if seconds is not None}
        return Caps.standard().model_copy(update=known)

    def world_loader(self) -> "Callable[[str, str], World]":
        """Loads worlds by name and language, each once. They were checked when they were built in."""

        @cache
        def world(name: str, language: str) -> "World":
            return load_world(self.worlds_dir / name, language)

        return world


class Clients:
    """The AWS clients of one environment, made when first used and then kept."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @cached_property
    def store(self) -> DynamoStore:
        return DynamoStore(aws.client("dynamodb"), self._settings.table_name)

    @cached_property
    def poster(self) -> GatewayPoster:
        url = self._settings.callback_url
        return GatewayPoster(aws.client("apigatewaymanagementapi", config=aws.POSTING, endpoint_url=url))
