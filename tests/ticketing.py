"""A ticket office and a door to test, on one table and one clock; and events as AWS sends them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from pydantic import SecretStr

from prologue.tickets.door import Door
from prologue.tickets.office import TicketOffice
from prologue.tickets.secret import Secret
from prologue.tickets.settings import TicketSettings
from prologue.tickets.ticket import Ticket
from prologue.tickets.tokens import TokenReader
from tests.fakes import Clock, MemoryStore

KEY = "k3y-" * 10
CODE = "open sesame"
HOST = "d111abc.cloudfront.net"
PAGE = f"https://{HOST}"
ELSEWHERE = "https://stories.example.org"
ARN = "arn:aws:execute-api:us-east-1:123456789012:abcdef123/prod/$connect"
VIEWER = "198.51.100.10"


def secret(key: str = KEY, code: str | None = CODE) -> Secret:
    return Secret(key=SecretStr(key), code=None if code is None else SecretStr(code))


def settings(mode: str = "access-code", **more: Any) -> TicketSettings:
    told = {"auth_mode": mode, "secret_arn": "arn", "allowed_origins": ELSEWHERE}
    return TicketSettings.model_validate(told | more)


def request(
    body: Any = None,
    *,
    method: str = "POST",
    origin: str | None = PAGE,
    viewer: str | None = VIEWER,
    **more: Any,
) -> dict[str, Any]:
    """A request to the function's URL, as CloudFront passes it on."""
    headers = {"content-type": "application/json", "x-viewer-host": HOST}
    if viewer is not None:
        headers["x-viewer-address"] = viewer
    if origin is not None:
        headers["origin"] = origin
    context = {"http": {"method": method, "path": "/ticket", "sourceIp": "130.176.1.1"}}
    event = {"version": "2.0", "rawPath": "/ticket", "headers": headers, "requestContext": context}
    if body is not None:
        event["body"] = body if isinstance(body, str) else json.dumps(body)
    return event | {"isBase64Encoded": False} | more


def upgrade(ticket: str | list[str] | None, origin: str | list[str] | None = PAGE) -> dict[str, Any]:
    """API Gateway's question to the authorizer."""
    headers: dict[str, list[str]] = {"Host": ["abcdef123.execute-api"], "Upgrade": ["websocket"]}
    if origin is not None:
        headers["Origin"] = origin if isinstance(origin, list) else [origin]
    event: dict[str, Any] = {
        "type": "REQUEST",
        "methodArn": ARN,
        "headers": {name: values[-1] for name, values in headers.items()},
        "multiValueHeaders": headers,
        "requestContext": {"routeKey": "$connect", "eventType": "CONNECT", "connectionId": "c="},
    }
    if ticket is not None:
        tickets = ticket if isinstance(ticket, list) else [ticket]
        event["queryStringParameters"] = {"t": tickets[-1]}
        event["multiValueQueryStringParameters"] = {"t": tickets}
    return event


def ticket(**changes: Any) -> Ticket:
    told = {
        "id": "0" * 32,
        "expires": 1_000_060,
        "mode": "access-code",
        "address": secret().address_hash(VIEWER),
        "origin": PAGE,
    }
    return Ticket.model_validate(told | changes)


@dataclass
class House:
    """What tickets open: the office that gives them, the door that takes them."""

    settings: TicketSettings = field(default_factory=settings)
    tokens: TokenReader | None = None
    store: MemoryStore = field(default_factory=MemoryStore)
    clock: Clock = field(default_factory=Clock)
    secret: Secret = field(default_factory=secret)

    def __post_init__(self) -> None:
        numbers = count(1)
        common: Mapping[str, Any] = {
            "secret": lambda: self.secret,
            "store": self.store,
            "clock": self.clock,
        }
        self.office = TicketOffice(
            self.settings, tokens=self.tokens, ids=lambda: f"{next(numbers):032x}", **common
        )
        self.door = Door(self.settings, **common)

    def ask(self, body: Any = None, **more: Any) -> tuple[int, dict[str, Any], dict[str, str]]:
        """Status, body and headers of the office's answer."""
        answer = self.office.answer(request(body, **more))
        return answer["statusCode"], json.loads(answer.get("body", "{}")), answer["headers"]

    def ticket(self, **more: Any) -> str:
        status, told, _ = self.ask({"code": CODE}, **more)
        assert (status, told["expires_in"]) == (200, 60)
        text: str = told["ticket"]
        return text

    def lets_in(self, ticket: str | list[str] | None, origin: str | list[str] | None = PAGE) -> bool:
        policy = self.door.policy(upgrade(ticket, origin))
        (statement,) = policy["policyDocument"]["Statement"]
        assert (statement["Action"], statement["Resource"]) == ("execute-api:Invoke", ARN)
        return bool(statement["Effect"] == "Allow")
