"""How listeners are let in: the auth mode and what it needs, from the function's environment."""

import os
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, PositiveInt, SecretStr, model_validator

Mode = Literal["access-code", "jwt", "open"]  # those that give tickets


class Limits(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    life_s: PositiveInt
    leeway_s: PositiveInt
    ticket_bytes: PositiveInt
    body_bytes: PositiveInt
    requests_per_minute: PositiveInt
    failures: PositiveInt
    failure_window_s: PositiveInt
    issuer_timeout_s: PositiveInt
    issuer_cache_s: PositiveInt
    issuer_cooldown_s: PositiveInt
    issuer_leeway_s: PositiveInt


@cache
def limits() -> Limits:
    return Limits.model_validate(tomllib.loads(Path(__file__).with_name("limits.toml").read_text()))


def _listed(text: object) -> object:
    return [part for each in text.split(",") if (part := each.strip())] if isinstance(text, str) else text


Listed = Annotated[tuple[str, ...], BeforeValidator(_listed)]


class TicketSettings(BaseModel):
    """Environment variables, in lower case. Raises pydantic's ValidationError saying what is wrong, but never
    a value, because it may be a secret."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    auth_mode: Mode | Literal["iam", "none"] = "none"  # none: a local stage; nobody gets a ticket
    table_name: str = ""
    secret_arn: str = ""
    ticket_secret: SecretStr | None = None  # what the secret holds; for tests, never in the cloud
    allowed_origins: Listed = ()  # of pages elsewhere; the house's own page is known without
    jwt_issuer: str = ""
    jwt_audience: Listed = ()
    jwt_jwks_url: str = ""  # default: the issuer's own configuration says it

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        return cls.model_validate({name.lower(): value for name, value in environment.items()})

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.auth_mode in ("access-code", "jwt", "open") and not (self.secret_arn or self.ticket_secret):
            raise ValueError(f"AUTH_MODE {self.auth_mode} needs SECRET_ARN, where the key of the tickets is")
        if self.auth_mode == "jwt":
            if not (self.jwt_issuer and self.jwt_audience):
                raise ValueError("AUTH_MODE jwt needs JWT_ISSUER and JWT_AUDIENCE")
            for url in filter(None, (self.jwt_issuer, self.jwt_jwks_url)):
                if not trustworthy(url):
                    raise ValueError("JWT_ISSUER and JWT_JWKS_URL have to be https addresses")
        for origin in self.allowed_origins:
            parts = urlsplit(origin)
            if parts.scheme not in ("http", "https") or origin != f"{parts.scheme}://{parts.netloc.lower()}":
                raise ValueError("ALLOWED_ORIGINS are such as https://stories.example.org, without a path")
        return self


def trustworthy(url: str) -> bool:
    """Whether what comes from there is what was sent: by https, or from this machine."""
    parts = urlsplit(url)
    return parts.scheme == "https" or (
        parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost")
    )
