"""A house's page and ticket office on loopback, its door before a `PageStage`: for the terminal client."""

import hashlib
import json
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from websockets.http11 import Request as Upgrade

from tests.loopback import Loopback, Request
from tests.page_stage import PageStage
from tests.ticketing import House, upgrade


class TicketCounter(Loopback):
    """`url`: of the page, whose `config.json` tells the rest. `shown`: what the office was asked with."""

    def __init__(self, house: House) -> None:
        super().__init__()
        self.url = self.origin
        self.house = house
        self.shown: list[Any] = []
        self.tickets: list[str] = []
        self.stage = PageStage(admits=self.admits)

    def answer(self, request: Request) -> tuple[int, str]:
        if request.command == "GET":
            told = {
                "websocket": self.stage.websocket,
                "auth": self.house.settings.auth_mode,
                "ticket": "ticket",
            }
            return 200 if request.path == "/config.json" else 404, json.dumps(told)
        body = request.body
        hashed = hashlib.sha256(body.encode()).hexdigest()
        if request.path != "/ticket" or request.headers["x-amz-content-sha256"] != hashed:
            return 403, "<html>Forbidden</html>"  # as CloudFront would
        self.shown.append(json.loads(body))
        headers = {name.lower(): value for name, value in request.headers.items()}
        context = {"http": {"method": "POST", "sourceIp": request.client_address[0]}}
        answer = self.house.office.answer({"headers": headers, "requestContext": context, "body": body})
        return answer["statusCode"], answer["body"]

    def admits(self, request: Upgrade) -> bool:
        (ticket,) = parse_qs(urlsplit(request.path).query).get("t", [""])
        self.tickets.append(ticket)
        policy = self.house.door.policy(upgrade(ticket or None, request.headers.get("Origin")))
        return bool(policy["policyDocument"]["Statement"][0]["Effect"] == "Allow")

    def __enter__(self) -> Self:
        self.stage.__enter__()
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self.stage.__exit__(*error)
