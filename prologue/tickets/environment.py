"""The ticket office and the door of one environment: made when first asked for, from what it is told."""

import time
from functools import cache

from prologue.tickets.door import Door
from prologue.tickets.office import TicketOffice
from prologue.tickets.requests import Event, origin_of
from prologue.tickets.secret import Secret, read_secret
from prologue.tickets.settings import TicketSettings
from session import aws
from session.dynamodb import DynamoStore


@cache
def office() -> TicketOffice:
    settings = _settings()
    tokens = None
    if settings.auth_mode == "jwt":
        from prologue.tickets.tokens import TokenReader  # and with it a library of cryptography

        tokens = TokenReader(settings.jwt_issuer, settings.jwt_audience, settings.jwt_jwks_url)
    return TicketOffice(settings, secret=_secret, store=_store(), clock=time.time, tokens=tokens)


@cache
def door() -> Door:
    return Door(_settings(), secret=_secret, store=_store(), clock=time.time)


def from_foreign_page(event: Event) -> bool:
    """Whether a browser connects from a page that isn't allowed. Where clients sign their requests (iam),
    there is no ticket that would tell."""
    try:
        origin = origin_of(event)
    except ValueError:
        return True
    return origin is not None and origin not in _settings().allowed_origins


@cache
def _settings() -> TicketSettings:
    return TicketSettings.from_environment()


@cache
def _secret() -> Secret:
    return read_secret(_settings())


@cache
def _store() -> DynamoStore:
    return DynamoStore(aws.client("dynamodb"), _settings().table_name)
