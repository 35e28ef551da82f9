"""The HTTP side of a WebSocket upgrade: reading the request, and the answers that refuse it."""

from http import HTTPStatus

from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from local.gateway.calls import Outcome
from local.gateway.core import FORBIDDEN, INTERNAL, TIMED_OUT, Call
from local.gateway.events import Upgrade

_ERROR_STATUS = {INTERNAL: HTTPStatus.BAD_GATEWAY, TIMED_OUT: HTTPStatus.GATEWAY_TIMEOUT}


def path_of(request: Request) -> str:
    """The path as sent, without the query string."""
    return request.path.partition("?")[0]


def asks_upgrade(request: Request) -> bool:
    """Whether this is a WebSocket handshake, well formed or not."""
    return any(value.lower() == "websocket" for value in request.headers.get_all("Upgrade"))


def upgrade_of(request: Request, source_ip: str) -> Upgrade:
    """What `$connect` is told of the request."""
    return Upgrade(list(request.headers.raw_items()), request.path.partition("?")[2], source_ip)


def forbidden() -> Response:
    """The answer to a path that is no stage."""
    return _response(HTTPStatus.FORBIDDEN, f'{{"message":"{FORBIDDEN}"}}')


def refusal(call: Call, outcome: Outcome) -> Response | None:
    """The answer to an upgrade that `$connect` refused, failed (502) or left undecided (504); else None."""
    if outcome.error is not None:
        return _response(_ERROR_STATUS[outcome.error], call.error(outcome.error))
    status = int(outcome.answer.get("statusCode", HTTPStatus.OK))
    return None if 200 <= status < 300 else _response(status, call.error(_phrase(status)))


def subprotocol(outcome: Outcome) -> str | None:
    """The one header of `$connect`'s answer that reaches the client."""
    headers = outcome.answer.get("headers") or {}
    return next((value for name, value in headers.items() if name.lower() == "sec-websocket-protocol"), None)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:  # a handler may return a status that has no name
        return "Unknown"


def _response(status: int, text: str) -> Response:
    body = text.encode()
    headers = Headers(
        {"Content-Type": "application/json", "Content-Length": str(len(body)), "Connection": "close"}
    )
    return Response(int(status), _phrase(status), headers, body)
