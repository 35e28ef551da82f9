"""A house's page and ticket office on loopback, its door before a `PageStage`: for the terminal client."""

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit

from websockets.http11 import Request

from tests.page_stage import PageStage
from tests.ticketing import House, upgrade


class TicketCounter:
    """`url`: of the page, whose `config.json` tells the rest. `shown`: what the office was asked with."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.shown: list[Any] = []
        self.tickets: list[str] = []
        self.stage = PageStage(admits=self.admits)
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                told = {
                    "websocket": outer.stage.websocket,
                    "auth": house.settings.auth_mode,
                    "ticket": "ticket",
                }
                self._answer(200 if self.path == "/config.json" else 404, json.dumps(told))

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"])).decode()
                hashed = hashlib.sha256(body.encode()).hexdigest()
                if self.path != "/ticket" or self.headers["x-amz-content-sha256"] != hashed:
                    return self._answer(403, "<html>Forbidden</html>")  # as CloudFront would
                outer.shown.append(json.loads(body))
                headers = {name.lower(): value for name, value in self.headers.items()}
                context = {"http": {"method": "POST", "sourceIp": self.client_address[0]}}
                event = {"headers": headers, "requestContext": context, "body": body}
                answer = house.office.answer(event)
                self._answer(answer["statusCode"], answer["body"])

            def _answer(self, status: int, body: str) -> None:
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def admits(self, request: Request) -> bool:
        (ticket,) = parse_qs(urlsplit(request.path).query).get("t", [""])
        self.tickets.append(ticket)
        policy = self.house.door.policy(upgrade(ticket or None, request.headers.get("Origin")))
        return bool(policy["policyDocument"]["Statement"][0]["Effect"] == "Allow")

    def __enter__(self) -> "TicketCounter":
        self.stage.__enter__()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self.stage.__exit__(kind, error, trace)
