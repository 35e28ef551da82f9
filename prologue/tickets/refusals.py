"""Every refusal of the ticket office: status, what happened, what to do next. None repeats a credential."""

from typing import Literal, NamedTuple

Code = Literal[
    "bad_request",
    "wrong_code",
    "wrong_token",
    "wrong_origin",
    "no_tickets",
    "bad_method",
    "too_large",
    "too_many",
    "busy",
]


class _Text(NamedTuple):
    status: int
    message: str
    hint: str


_TEXTS: dict[Code, _Text] = {
    "bad_request": _Text(
        400, "That is no request for a ticket.", 'Send JSON: {"code": "..."}, {"token": "..."} or {}.'
    ),
    "wrong_code": _Text(
        401, "That is not the access code.", "Ask whoever runs this house for it, and mind its spelling."
    ),
    "wrong_token": _Text(401, "That token is not taken here.", "Sign in again."),
    "wrong_origin": _Text(
        403, "This page may not ask for tickets here.", "Add its address to the option allowed_origins."
    ),
    "no_tickets": _Text(404, "No tickets are given here.", "docs/tickets.md tells how else to connect."),
    "bad_method": _Text(405, "Tickets are asked for with POST.", "Send a POST request."),
    "too_large": _Text(413, "That request is too large.", "Send nothing but the access code or the token."),
    "too_many": _Text(429, "There were too many attempts from this address.", "Wait a little and try again."),
    "busy": _Text(503, "The ticket office is closed for a moment.", "Try again in some seconds."),
}


class BadToken(Exception):
    """A token that proves nothing here. Says why, and tells nothing of the token."""


class IssuerAway(Exception):
    """The keys of the tokens' issuer can't be had just now."""


class Refused(Exception):
    """Args:
    code: which refusal.
    message: says more than the standard text.
    retry_after_s: when it is worth trying again.
    """

    def __init__(self, code: Code, message: str = "", *, retry_after_s: int | None = None) -> None:
        self.code = code
        self.status, standard, self.hint = _TEXTS[code]
        self.message = message or standard
        self.retry_after_s = retry_after_s
        super().__init__(f"{code}: {self.message}")
