"""The network between listeners and functions: API Gateway as it behaves on a bad day."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Protocol, cast

from botocore.exceptions import ClientError

from session.events import MAX_FRAME_BYTES, Frame, TurnDelta
from session.posting import GatewayPoster
from tests.sim.chaos import Chaos
from tests.sim.clockwork import Clockwork, Host
from tests.sim.table import switch

if TYPE_CHECKING:
    from mypy_boto3_apigatewaymanagementapi import ApiGatewayManagementApiClient

    from tests.sim.witness import Witness


LIFE_S = 7_200.0  # of a connection
IDLE_S = 600.0  # it ends after so long without a frame in either direction


class Line(Protocol):
    """A client's end of a connection."""

    address: str
    subject: str | None  # who has signed in

    def received(self, connection: "Connection", wire: bytes) -> None: ...

    def closed(self, connection: "Connection") -> None: ...


@dataclass(eq=False)
class Connection:
    connection_id: str
    line: Line
    carries: bool = True  # whether anything gets through
    known: bool = True  # whether the gateway still takes posts for it
    used_at: float = 0.0
    latest: dict[str, float] = field(default_factory=dict)  # by posting host: when its last frame arrives


class Gateway:
    """Args:
    message, disconnected: begin an invocation of the light function.
    """

    def __init__(self, clockwork: Clockwork, chaos: Chaos, witness: "Witness") -> None:
        self.clockwork = clockwork
        self.chaos = chaos
        self.witness = witness
        self.message: Callable[[str, str], None] = lambda connection_id, body: None
        self.disconnected: Callable[[str], None] = lambda connection_id: None
        self.connections: dict[str, Connection] = {}

    def connect(self, line: Line) -> Connection:
        connection = Connection(f"c{len(self.connections)}", line, used_at=self.clockwork.now)
        self.connections[connection.connection_id] = connection
        self.clockwork.after(LIFE_S, partial(self.close, connection))
        self.clockwork.after(IDLE_S, partial(self._end_if_idle, connection))
        return connection

    def _end_if_idle(self, connection: Connection) -> None:
        idle_s = self.clockwork.now - connection.used_at
        if idle_s >= IDLE_S:
            self.close(connection)
        elif connection.known:
            self.clockwork.after(IDLE_S - idle_s, partial(self._end_if_idle, connection))

    def send(self, connection: Connection, body: str) -> None:
        """From the client; whether it arrives nobody tells it."""
        chaos = self.chaos
        if not connection.carries or chaos.hit("message_lost"):
            return
        for _ in range(2 if chaos.hit("message_twice") else 1):
            late = chaos.random.uniform(0.2, 6.0) if chaos.hit("message_late") else 0.0
            delay = late + 0.005 + 0.03 * chaos.random.random()
            self.clockwork.after(delay, partial(self._deliver, connection, body))

    def _deliver(self, connection: Connection, body: str) -> None:
        if connection.known:
            connection.used_at = self.clockwork.now
            self.message(connection.connection_id, body)

    def close(self, connection: Connection) -> None:
        """The client hangs up, or the network ends the connection so that both see it."""
        if connection.carries:
            connection.carries = False
            self.clockwork.after(0.0, partial(connection.line.closed, connection))
            self._forget(connection)

    def half_open(self, connection: Connection) -> None:
        """Nothing gets through any more, and nobody is told."""
        if connection.carries:
            connection.carries = False
            self.clockwork.after(
                self.chaos.random.choice((1.0, 8.0, 60.0)), partial(self._forget, connection)
            )

    def _forget(self, connection: Connection) -> None:
        if not connection.known:
            return
        connection.known = False
        if not self.chaos.hit("disconnect_lost"):
            late = self.chaos.random.uniform(1.0, 40.0) if self.chaos.hit("disconnect_late") else 0.02
            self.clockwork.after(late, partial(self.disconnected, connection.connection_id))

    def arrive(self, host: Host, connection: Connection, wire: bytes) -> None:
        """A frame sets out to the client; frames of one host keep their order."""
        random = self.chaos.random
        late = random.uniform(0.2, 4.0) if self.chaos.hit("frame_late") else 0.0
        at = self.clockwork.now + late + 0.003 + 0.03 * random.random()
        at = max(at, connection.latest.get(host.name, 0.0))
        connection.used_at = self.clockwork.now
        connection.latest[host.name] = at
        self.clockwork.after(at - self.clockwork.now, partial(self._arrived, connection, wire))

    def _arrived(self, connection: Connection, wire: bytes) -> None:
        if connection.carries:
            connection.line.received(connection, wire)


class Posts:
    """A `Poster` on one host: the product's own, and its requests on this network."""

    def __init__(self, host: Host, gateway: Gateway) -> None:
        self._host = host
        self._gateway = gateway

    def post(self, connection_id: str, frame: Frame) -> None:
        client = cast("ApiGatewayManagementApiClient", _Requests(self._host, self._gateway, frame))
        GatewayPoster(client, self._host.sleep).post(connection_id, frame)


@dataclass(frozen=True)
class _Requests:
    """boto3's client, as far as it is used for this frame."""

    host: Host
    gateway: Gateway
    frame: Frame

    def post_to_connection(self, *, ConnectionId: str, Data: bytes) -> None:  # noqa: N803 - boto3's names
        host, gateway, chaos, frame = self.host, self.gateway, self.gateway.chaos, self.frame
        switch(host, chaos)
        gateway.witness.posted(host, ConnectionId, frame)
        if chaos.hit("post_slow"):
            host.dawdle(chaos.random.choice((0.5, 3.0, 9.0)))
        host.sleep(0.004 + 0.01 * chaos.random.random())
        connection = gateway.connections.get(ConnectionId)
        if connection is None or not connection.known:
            raise _answer(410)
        for status in (429, 500):
            if chaos.hit(f"post_{status}"):
                if isinstance(frame, TurnDelta):
                    gateway.witness.refused(host, ConnectionId, frame)
                raise _answer(status)
        assert len(Data) <= MAX_FRAME_BYTES, f"a {type(frame).__name__} of {len(Data)} bytes"
        gateway.arrive(host, connection, Data)
        if chaos.hit("post_500_yet_posted"):
            raise _answer(500)
        switch(host, chaos)


def _answer(status: int) -> ClientError:
    return ClientError(
        {"Error": {"Code": str(status)}, "ResponseMetadata": {"HTTPStatusCode": status}},  # type: ignore[typeddict-item]
        "PostToConnection",
    )
