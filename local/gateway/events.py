"""The events that API Gateway sends to a function, key for key as recorded: CONNECT, MESSAGE, DISCONNECT.

A MESSAGE has no headers and no query string: what a handler needs of the upgrade it must keep itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

Event = dict[str, Any]

_HOP_BY_HOP = {"connection", "upgrade"}  # API Gateway does not pass these on


class Close(NamedTuple):
    """A WebSocket close code and reason."""

    code: int
    reason: str


@dataclass(frozen=True)
class Api:
    """What every event says about the API. `domain_name` is `host:port` here; on AWS it has no port."""

    stage: str
    domain_name: str = ""
    port: int = 0
    api_id: str = "local"


@dataclass(frozen=True)
class Upgrade:
    """A client's upgrade request: headers in the order and case sent, the raw query string without `?`."""

    headers: Sequence[tuple[str, str]]
    query: str
    source_ip: str

    def header(self, name: str) -> str | None:
        """The last value of a header, whatever its case."""
        values = [value for key, value in self.headers if key.lower() == name]
        return values[-1] if values else None


@dataclass(frozen=True)
class Peer:
    """What every event of one connection repeats. `connected_at` is Unix time in seconds."""

    connection_id: str
    connected_at: float
    source_ip: str
    user_agent: str | None


def connect_event(
    api: Api, peer: Peer, upgrade: Upgrade, *, request_id: str, trace: str, now: float
) -> Event:
    """The event of an upgrade request that waits for `$connect`."""
    headers = _multi(_forwarded(api, upgrade, trace))
    event: Event = {"headers": _last(headers), "multiValueHeaders": headers}
    if query := _multi(parse_qsl(upgrade.query, keep_blank_values=True, errors="replace")):
        event |= {"queryStringParameters": _last(query), "multiValueQueryStringParameters": query}
    event["requestContext"] = _context(api, peer, "$connect", "CONNECT", request_id, now)
    event["isBase64Encoded"] = False
    return event


def message_event(
    api: Api, peer: Peer, body: str, *, route_key: str, message_id: str, request_id: str, now: float
) -> Event:
    """The event of one text message from the client."""
    context = _context(api, peer, route_key, "MESSAGE", request_id, now)
    context["messageId"] = message_id
    return {"requestContext": context, "body": body, "isBase64Encoded": False}


def disconnect_event(api: Api, peer: Peer, close: Close, *, request_id: str, now: float) -> Event:
    """The event of a connection that has ended."""
    context = _context(api, peer, "$disconnect", "DISCONNECT", request_id, now)
    context |= {"disconnectStatusCode": close.code, "disconnectReason": close.reason}
    headers = {"Host": api.domain_name, "x-api-key": "", "X-Forwarded-For": "", "x-restapi": ""}
    return {
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "requestContext": context,
        "isBase64Encoded": False,
    }


def _context(api: Api, peer: Peer, route_key: str, event_type: str, request_id: str, now: float) -> Event:
    identity = {"sourceIp": peer.source_ip}
    if peer.user_agent is not None:
        identity["userAgent"] = peer.user_agent
    return {
        "routeKey": route_key,
        "eventType": event_type,
        "extendedRequestId": request_id,
        "requestTime": datetime.fromtimestamp(now, UTC).strftime("%d/%b/%Y:%H:%M:%S +0000"),
        "messageDirection": "IN",
        "stage": api.stage,
        "connectedAt": int(peer.connected_at * 1000),
        "requestTimeEpoch": int(now * 1000),
        "identity": identity,
        "requestId": request_id,
        "domainName": api.domain_name,
        "connectionId": peer.connection_id,
        "apiId": api.api_id,
    }


def _forwarded(api: Api, upgrade: Upgrade, trace: str) -> list[tuple[str, str]]:
    """The headers that reach the function: no hop-by-hop ones, the forwarding ones added, sorted by name."""
    earlier = upgrade.header("x-forwarded-for")
    added = {
        "X-Amzn-Trace-Id": trace,
        "X-Forwarded-For": f"{earlier}, {upgrade.source_ip}" if earlier else upgrade.source_ip,
        "X-Forwarded-Port": str(api.port),
        "X-Forwarded-Proto": "http",  # on AWS always https; here there is no TLS
    }
    replaced = _HOP_BY_HOP | {name.lower() for name in added}
    kept = [(name, value) for name, value in upgrade.headers if name.lower() not in replaced]
    return sorted([*kept, *added.items()], key=lambda item: item[0].lower())


def _multi(pairs: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        values.setdefault(name, []).append(value)
    return values


def _last(values: dict[str, list[str]]) -> dict[str, str]:
    return {name: many[-1] for name, many in values.items()}
