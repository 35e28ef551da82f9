"""What both functions are told by their environment, and the AWS clients made from it.

boto3 itself reads where AWS is: region, credentials and, on the local stage, `AWS_ENDPOINT_URL_*`.
"""

import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Self

import boto3
from botocore.config import Config
from pydantic import BaseModel, ConfigDict, Field

from prologue.world import WORLDS
from session.dynamodb import DynamoStore
from session.posting import GatewayPoster

CLIENT = Config(
    connect_timeout=3,
    read_timeout=10,
    tcp_keepalive=True,
    retries={"mode": "standard", "total_max_attempts": 4},
)


class Settings(BaseModel):
    """Environment variables, in lower case. Raises pydantic's ValidationError naming what is missing."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    table_name: str
    callback_url: str = Field(pattern=r"^https?://")  # of @connections: https://API.../STAGE
    model_name: str
    worlds_dir: Path = WORLDS

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        return cls.model_validate({name.lower(): value for name, value in environment.items()})


class Clients:
    """The AWS clients of one environment, made when first used and then kept."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @cached_property
    def store(self) -> DynamoStore:
        client = boto3.client("dynamodb", config=CLIENT)
        return DynamoStore(client, self._settings.table_name)

    @cached_property
    def poster(self) -> GatewayPoster:
        client = boto3.client(
            "apigatewaymanagementapi", endpoint_url=self._settings.callback_url, config=CLIENT
        )
        return GatewayPoster(client)
