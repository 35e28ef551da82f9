"""A ticket: a signed pass for one connection, opened within a minute.

As text it is `PAYLOAD.SIGNATURE`, both base64url. The signature is over the payload's text and is compared as
text, so nothing of a forged ticket is ever decoded.
"""

import base64
import hmac
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from prologue.tickets.secret import Secret
from prologue.tickets.settings import Mode, limits

SUBJECT = r"^[ !#-\[\]-~]{1,255}$"  # OpenID Connect: at most 255 ASCII characters; nothing that JSON escapes
ORIGIN = r"^https?://[a-z0-9.:\[\]-]{1,200}$"  # as browsers write it


class BadTicket(Exception):
    """A ticket that lets nobody in. Says why, and tells nothing of the ticket."""


class Ticket(BaseModel):
    """What a ticket says. Short names, because it travels in a URL."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, populate_by_name=True)

    id: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
    expires: int = Field(alias="x")  # Unix time in seconds
    mode: Mode = Field(alias="m")
    address: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")] = Field(alias="a")  # a hash
    origin: Annotated[str, StringConstraints(pattern=ORIGIN)] | None = Field(default=None, alias="o")
    subject: Annotated[str, StringConstraints(pattern=SUBJECT)] | None = Field(default=None, alias="s")

    @property
    def name(self) -> str:
        """Enough to find it in a log, and too little to use."""
        return self.id[:8]


def seal(ticket: Ticket, secret: Secret) -> str:
    """The ticket as text: of URL-safe characters, and under 1 KB whatever is in it."""
    payload = _base64(ticket.model_dump_json(by_alias=True, exclude_none=True).encode())
    return f"{payload}.{_base64(secret.sign('ticket', payload))}"


def unseal(text: str, secret: Secret, now: float) -> Ticket:
    """The ticket, if it is one of ours and still good. Raises BadTicket."""
    if len(text) >= limits().ticket_bytes:
        raise BadTicket("too large")
    payload, dot, signature = text.partition(".")
    if not (dot and text.isascii()):
        raise BadTicket("malformed")
    if not hmac.compare_digest(signature, _base64(secret.sign("ticket", payload))):
        raise BadTicket("forged")
    try:
        padding = "=" * (-len(payload) % 4)
        ticket = Ticket.model_validate_json(base64.urlsafe_b64decode(payload + padding))
    except (ValueError, ValidationError):
        raise BadTicket("of another version") from None
    if now >= ticket.expires + limits().leeway_s:
        raise BadTicket("expired")
    return ticket


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
