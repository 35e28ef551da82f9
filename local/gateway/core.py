"""The gateway's decisions, without I/O: which connections there are, which event the function gets, which
error the client gets, when a connection has to end. Randomness and the clock (`now`: Unix time in seconds)
are passed in.
"""

import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum

from local.gateway.events import (
    Api,
    Close,
    Event,
    Peer,
    Upgrade,
    connect_event,
    disconnect_event,
    message_event,
)
from local.gateway.ids import Randomness, short_id, trace_id
from local.gateway.limits import Limits

CONNECT, DISCONNECT, DEFAULT = "$connect", "$disconnect", "$default"
ROUTES = frozenset({CONNECT, DISCONNECT, DEFAULT})
ROUTE_FIELD = "action"  # the route selection expression is $request.body.action

FORBIDDEN = "Forbidden"  # no route
INTERNAL = "Internal server error"  # the function raised, or its answer is malformed
TIMED_OUT = "Endpoint request timed out"

GOING_AWAY = Close(1001, "Going away")  # idle, at the end of its life, or the gateway shuts down
NORMAL = Close(1000, "Connection Closed Normally")  # DELETE @connections
NO_STATUS = Close(1005, "Client-side close frame status not set")
LOST = Close(1006, "")  # no close frame; the reason that AWS gives is not known
BINARY = Close(1003, "Binary frames are not supported")  # the code is AWS's, the text ours

_ANSWER_KEYS = {"statusCode", "headers", "multiValueHeaders", "body", "isBase64Encoded"}
_STATUS = re.compile(r"[2-5][0-9]{2}")


class State(Enum):
    """A connection counts for `@connections` only while it is OPEN."""

    CONNECTING = "connecting"  # the upgrade waits for $connect
    OPEN = "open"
    CLOSING = "closing"


@dataclass
class Connection:
    """One connection. `buffered` is the number of bytes accepted for the client and not yet on its socket."""

    peer: Peer
    last_active: float
    state: State = State.CONNECTING
    buffered: int = 0


@dataclass(frozen=True)
class Call:
    """One request to the integration; `event` is None where no route takes it."""

    connection_id: str
    request_id: str
    event: Event | None

    def error(self, message: str) -> str:
        """The text with which API Gateway tells a client of an error, spaces included."""
        ids = f'"connectionId":"{self.connection_id}", "requestId":"{self.request_id}"'
        return f'{{"message": "{message}", {ids}}}'


def answer_status(answer: object) -> int | None:
    """The status in a function's return value; None if that is malformed, which counts as an internal error.

    Well formed is a dict with a status, headers or none, a text body or none, and no unknown key.
    """
    if not isinstance(answer, dict) or not answer.keys() <= _ANSWER_KEYS:
        return None
    if not isinstance(answer.get("body"), str | None) or not isinstance(answer.get("headers"), dict | None):
        return None
    status = str(answer.get("statusCode"))
    return int(status) if _STATUS.fullmatch(status) else None


class Core:
    """The connections of one API stage. An unknown connection id raises KeyError, except in `find`."""

    def __init__(
        self, limits: Limits, api: Api, *, randomness: Randomness, routes: Collection[str] = ROUTES
    ) -> None:
        self.limits = limits
        self.api = api
        self.randomness = randomness
        self._routes = frozenset(routes)
        self._connections: dict[str, Connection] = {}

    def find(self, connection_id: str) -> Connection | None:
        """A connection in any state."""
        return self._connections.get(connection_id)

    def connect(self, upgrade: Upgrade, now: float) -> Call:
        """Give an upgrade request its connection id. Follow up with `accept` or `refuse`."""
        peer = Peer(short_id(self.randomness), now, upgrade.source_ip, upgrade.header("user-agent"))
        self._connections[peer.connection_id] = Connection(peer, last_active=now)
        request_id = short_id(self.randomness)
        event = None
        if CONNECT in self._routes:
            trace = trace_id(self.randomness, now)
            event = connect_event(self.api, peer, upgrade, request_id=request_id, trace=trace, now=now)
        return Call(peer.connection_id, request_id, event)

    def refuse(self, connection_id: str) -> None:
        """Forget a connection that never opened: it gets no `$disconnect`."""
        del self._connections[connection_id]

    def accept(self, connection_id: str, now: float) -> None:
        """The upgrade was answered with 101: from now on it can be posted to."""
        connection = self._connections[connection_id]
        connection.state = State.OPEN
        connection.last_active = now

    def message(self, connection_id: str, body: str, now: float) -> Call:
        """A text message from the client."""
        connection = self._connections[connection_id]
        connection.last_active = now
        request_id = short_id(self.randomness)
        route_key = self._route(body)
        event = None
        if route_key is not None:
            event = message_event(
                self.api,
                connection.peer,
                body,
                route_key=route_key,
                message_id=short_id(self.randomness),
                request_id=request_id,
                now=now,
            )
        return Call(connection_id, request_id, event)

    def buffer(self, connection_id: str, size: int, now: float) -> bool:
        """Take `size` bytes for the client; False if its buffer is full. Follow up with `sent`."""
        connection = self._connections[connection_id]
        if connection.buffered + size > self.limits.client_buffer_bytes:
            return False
        connection.buffered += size
        connection.last_active = now
        return True

    def sent(self, connection_id: str, size: int) -> None:
        """`size` buffered bytes are on the socket."""
        self._connections[connection_id].buffered -= size

    def deadline(self, connection_id: str) -> float:
        """When this connection ends if nothing more is said. Messages either way move it, pings don't."""
        connection = self._connections[connection_id]
        idle_end = connection.last_active + self.limits.idle_s
        return min(idle_end, connection.peer.connected_at + self.limits.life_s)

    def closing(self, connection_id: str) -> None:
        """A closing handshake has begun, on either side."""
        self._connections[connection_id].state = State.CLOSING

    def closed(self, connection_id: str, close: Close, now: float) -> Call:
        """A connection that `$connect` had accepted has ended."""
        connection = self._connections.pop(connection_id)
        request_id = short_id(self.randomness)
        event = None
        if DISCONNECT in self._routes:
            event = disconnect_event(self.api, connection.peer, close, request_id=request_id, now=now)
        return Call(connection_id, request_id, event)

    def _route(self, body: str) -> str | None:
        """The route of a message: the exact value of its `action`, else `$default`, else none."""
        try:
            parsed = json.loads(body)
        except (ValueError, RecursionError):  # not JSON, or nested too deep to be read
            parsed = None
        action = parsed.get(ROUTE_FIELD) if isinstance(parsed, dict) else None
        if isinstance(action, str) and action in self._routes - ROUTES:
            return action
        return DEFAULT if DEFAULT in self._routes else None
