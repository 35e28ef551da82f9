"""The door: API Gateway asks it, before a connection opens, whether the ticket is good (REQUEST authorizer).

Whatever is wrong, nobody behind the door is woken: a refusal is an answer of this function alone.
"""

import logging
from collections.abc import Callable
from typing import Any

from prologue.tickets.requests import Event, only, origin_of
from prologue.tickets.secret import Secret
from prologue.tickets.settings import TicketSettings
from prologue.tickets.ticket import BadTicket, Ticket, unseal
from session.store import Admissions

log = logging.getLogger(__name__)

Policy = dict[str, Any]
_KEPT_S = 300  # a used ticket's mark outlives it by so much more than clocks differ


class Door:
    """Args:
    secret: reads it when it is needed; may raise SecretAway.
    clock: Unix time in seconds.
    """

    def __init__(
        self,
        settings: TicketSettings,
        *,
        secret: Callable[[], Secret],
        store: Admissions,
        clock: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._secret = secret
        self._store = store
        self._clock = clock

    def policy(self, event: Event) -> Policy:
        """The authorizer's answer. Raises SecretAway, StoreBusy: then API Gateway lets nobody in (500)."""
        try:
            ticket = self._admitted(event)
        except BadTicket as bad:
            log.warning("a ticket was refused: %s", bad)
            return _policy("Deny", event["methodArn"], "nobody")
        log.info("ticket %s let a connection in", ticket.name)
        told = {"ticket": ticket.name, "address": ticket.address}
        if ticket.subject is not None:
            told["subject"] = ticket.subject
        principal = ticket.subject or ticket.address
        return _policy("Allow", event["methodArn"], principal) | {"context": told}

    def _admitted(self, event: Event) -> Ticket:
        """The ticket, used up. Raises BadTicket."""
        try:
            parameters = event.get("multiValueQueryStringParameters") or event.get("queryStringParameters")
            shown, origin = only(parameters, "t"), origin_of(event)
        except ValueError as error:
            raise BadTicket(str(error)) from None
        if not shown:
            raise BadTicket("missing")
        now = self._clock()
        ticket = unseal(shown, self._secret(), now)
        if ticket.mode != self._settings.auth_mode:
            raise BadTicket(f"{ticket.name} is of another auth mode")
        if ticket.origin is not None and origin != ticket.origin:
            raise BadTicket(f"{ticket.name} was given to another page")
        if ticket.origin is None and origin not in (None, *self._settings.allowed_origins):
            raise BadTicket(f"{ticket.name} was given to no page, and a page shows it")
        if not self._store.use_ticket(ticket.id, ticket.expires + _KEPT_S, now):
            raise BadTicket(f"{ticket.name} was used before")
        return ticket


def _policy(effect: str, arn: str, principal: str) -> Policy:
    statement = {"Action": "execute-api:Invoke", "Effect": effect, "Resource": arn}
    return {
        "principalId": principal,
        "policyDocument": {"Version": "2012-10-17", "Statement": [statement]},
    }
