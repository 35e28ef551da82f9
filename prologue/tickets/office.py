"""The ticket office: `POST /ticket` gives a ticket for an access code, a token, or (open) for the asking.

Takes events of a Lambda function URL (version 2.0). CloudFront stands before it and is the only one that may
call it. It overwrites `x-viewer-address` and `x-viewer-host`, so what they say can be believed.
"""

import base64
import hmac
import json
import logging
import re
import secrets
from collections.abc import Callable
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from prologue.tickets.refusals import BadToken, IssuerAway, Refused
from prologue.tickets.requests import Event, only, origin_of, viewer_of
from prologue.tickets.secret import Secret, SecretAway
from prologue.tickets.settings import TicketSettings, limits
from prologue.tickets.throttle import Throttle
from prologue.tickets.ticket import ORIGIN, Ticket, seal
from session import telemetry
from session.store import Admissions, StoreBusy

if TYPE_CHECKING:
    from prologue.tickets.tokens import TokenReader

log = logging.getLogger(__name__)

Answer = dict[str, Any]
_COME_BACK_S = 5  # after `busy`


class Shown(BaseModel):
    """The credential in the request's body."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    code: str | None = None
    token: str | None = None


class TicketOffice:
    """Args:
    secret: reads it when it is needed; may raise SecretAway.
    tokens: the issuer, in the mode `jwt`.
    clock: Unix time in seconds.
    ids: makes a ticket's id, of 128 random bits in hex.
    """

    def __init__(
        self,
        settings: TicketSettings,
        *,
        secret: Callable[[], Secret],
        store: Admissions,
        clock: Callable[[], float],
        tokens: "TokenReader | None" = None,
        ids: Callable[[], str] = lambda: secrets.token_hex(16),
    ) -> None:
        self._settings = settings
        self._secret = secret
        self._throttle = Throttle(store, clock)
        self._clock = clock
        self._tokens = tokens
        self._ids = ids

    def answer(self, event: Event) -> Answer:
        """The response to a request, whatever it is."""
        origin: str | None = None
        try:
            asking = self._origin(event)
            if event["requestContext"]["http"]["method"] == "OPTIONS":
                return self._preflight(asking)
            origin = asking
            ticket = self._ticket(event, origin)
            return _answer(200, {"ticket": ticket, "expires_in": limits().life_s}, origin)
        except Refused as refused:
            return _refusal(refused, origin)
        except (StoreBusy, SecretAway, IssuerAway) as error:
            log.error("no ticket can be given: %s", error)
            telemetry.emit({"Failures": 1}, reason="tickets")
            return _refusal(Refused("busy", retry_after_s=_COME_BACK_S), origin)

    def _origin(self, event: Event) -> str | None:
        """The page that asks, None for other programs. Raises Refused for a page that isn't one of ours."""
        try:
            origin, host = origin_of(event), only(event.get("headers"), "x-viewer-host")
        except ValueError:
            raise Refused("bad_request") from None
        if origin is None:
            return None
        own = f"https://{host}" if host else None
        if origin not in (own, *self._settings.allowed_origins) or not re.fullmatch(ORIGIN, origin):
            raise Refused("wrong_origin")
        return origin

    def _preflight(self, origin: str | None) -> Answer:
        if origin is None:
            raise Refused("wrong_origin")
        more = {
            "access-control-allow-methods": "POST",
            "access-control-allow-headers": "content-type, x-amz-content-sha256",
            "access-control-max-age": "600",
        }
        return _answer(204, None, origin, **more)

    def _ticket(self, event: Event, origin: str | None) -> str:
        """Raises Refused, and what `answer` calls busy."""
        mode = self._settings.auth_mode
        if mode in ("none", "iam"):
            raise Refused("no_tickets")
        if event["requestContext"]["http"]["method"] != "POST":
            raise Refused("bad_method")
        secret = self._secret()
        address = secret.address_hash(viewer_of(event))
        self._throttle.admit(address)
        shown = _shown(event)
        try:
            subject = self._proven(shown, secret)
        except Refused as refused:
            self._throttle.failed(address)
            log.warning("%s from address %s", refused.code, address[:8])
            raise
        ticket = Ticket(
            id=self._ids(),
            expires=int(self._clock()) + limits().life_s,
            mode=mode,
            address=address,
            origin=origin,
            subject=subject,
        )
        log.info("ticket %s for address %s", ticket.name, address[:8])
        return seal(ticket, secret)

    def _proven(self, shown: Shown, secret: Secret) -> str | None:
        """Whom the credential speaks for, None for anybody. Raises Refused, IssuerAway."""
        if self._settings.auth_mode == "access-code":
            # Digests are of one length, so the time of comparing them tells nothing about the code.
            told, right = (
                sha256(text.encode("utf-8", "replace")).digest()
                for text in ((shown.code or "").strip(), secret.access_code)
            )
            if not hmac.compare_digest(told, right):
                raise Refused("wrong_code")
        elif self._tokens is not None:
            try:
                return self._tokens.subject(shown.token or "")
            except BadToken as bad:
                raise Refused("wrong_token", f"That token is not taken here. {bad}") from None
        return None


def _shown(event: Event) -> Shown:
    """Raises Refused."""
    body = event.get("body") or "{}"
    most = limits().body_bytes
    if len(body) > most * 4 // 3 + 4:
        raise Refused("too_large")
    try:
        raw = base64.b64decode(body, validate=True) if event.get("isBase64Encoded") else body.encode()
        if len(raw) > most:
            raise Refused("too_large")
        return Shown.model_validate_json(raw)
    except (ValueError, ValidationError):
        raise Refused("bad_request") from None


def _refusal(refused: Refused, origin: str | None) -> Answer:
    more = {} if refused.retry_after_s is None else {"retry-after": str(refused.retry_after_s)}
    if refused.code == "bad_method":
        more["allow"] = "POST, OPTIONS"
    told = {"error": refused.code, "message": refused.message, "hint": refused.hint}
    return _answer(refused.status, told, origin, **more)


def _answer(status: int, body: dict[str, Any] | None, origin: str | None, **more: str) -> Answer:
    headers = {"cache-control": "no-store", "vary": "origin"} | more
    if origin is not None:
        headers["access-control-allow-origin"] = origin
    answer: Answer = {"statusCode": status, "headers": headers}
    if body is not None:
        headers["content-type"] = "application/json"
        answer["body"] = json.dumps(body)
    return answer
