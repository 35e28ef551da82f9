"""The gateway on real sockets: `websockets` speaks the protocol, `core` decides, the integration is the light
function.

Compression is off. API Gateway does negotiate permessage-deflate, but with a fault that is not worth copying,
and whether its limits count compressed bytes is not known; uncompressed, they mean the same everywhere. Like
the real one, the gateway sends no pings.
"""

import asyncio
import os
import time
from collections.abc import Callable, Collection, Coroutine
from typing import Any
from uuid import UUID

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.protocol import State

from local.gateway import management
from local.gateway.calls import Calls, Integration
from local.gateway.core import BINARY, FORBIDDEN, GOING_AWAY, LOST, NORMAL, ROUTES, Call, Core
from local.gateway.events import Api, Close
from local.gateway.ids import Randomness
from local.gateway.limits import Limits
from local.gateway.line import Line, close_of
from local.gateway.management import Answer
from local.gateway.upgrade import asks_upgrade, forbidden, path_of, refusal, subprotocol, upgrade_of

Page = Callable[[Request], Response | None]

_REQUEST_S = 10  # for a client to send its request line and headers; $connect's own time comes on top


def steady_clock() -> Callable[[], float]:
    """A clock that starts at the system's time and never jumps: no connection dies of a time correction."""
    offset = time.time() - time.monotonic()
    return lambda: offset + time.monotonic()


class Gateway:
    """One API stage. Everything runs on the event loop of `start`.

    `integration` gets each event and returns the function's answer. It may be slow and it may raise; calls
    for different messages run at the same time. `http` serves what is not the stage's path; where it returns
    None, or there is none, the answer is 403, as for an unknown stage.
    """

    def __init__(
        self,
        integration: Integration,
        *,
        limits: Limits,
        stage: str = "prod",
        http: Page | None = None,
        routes: Collection[str] = ROUTES,
        clock: Callable[[], float] | None = None,
        randomness: Randomness = os.urandom,
    ) -> None:
        self.stage = stage
        self.limits = limits
        self._http = http
        self._clock = clock or steady_clock()
        self._core = Core(limits, Api(stage), randomness=randomness, routes=routes)
        self._calls = Calls(integration, limits.integration_timeout_s)
        self._accepted: dict[UUID, str] = {}  # the library's id of a handshake that $connect accepted -> ours
        self._lines: dict[str, Line] = {}
        self._sockets: set[ServerConnection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: Server | None = None
        self._stopping = False

    @property
    def url(self) -> str:
        """Where clients connect. Known after `start`."""
        return f"ws://{self._core.api.domain_name}/{self.stage}"

    async def start(self, host: str, port: int) -> Server:
        """Listen; port 0 takes a free one. Raises OSError if the address is not to be had."""
        sockets = self._sockets

        class Socket(ServerConnection):
            """Known while its TCP connection lasts: `stop` ends those too that never finish a handshake."""

            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                super().connection_made(transport)
                sockets.add(self)

            def connection_lost(self, exc: Exception | None) -> None:
                super().connection_lost(exc)
                sockets.discard(self)

        self._server = await serve(
            self._serve,
            host,
            port,
            process_request=self._route,
            process_response=self._connect,
            create_connection=Socket,
            compression=None,
            max_size=(self.limits.message_bytes, self.limits.frame_bytes),
            open_timeout=_REQUEST_S + self.limits.integration_timeout_s,
            close_timeout=self.limits.close_grace_s,
            ping_interval=None,
            server_header=None,
        )
        bound = self._server.sockets[0].getsockname()[1]
        self._core.api = Api(self.stage, f"[{host}]:{bound}" if ":" in host else f"{host}:{bound}", bound)
        return self._server

    async def stop(self) -> None:
        """Close everything with 1001, run `$disconnect`; clients, then functions, get `close_grace_s`."""
        if self._server is None:
            return
        server, self._server = self._server, None
        self._stopping = True
        self._calls.release()
        server.close(code=GOING_AWAY.code, reason=GOING_AWAY.reason)
        self._abort(State.CONNECTING)
        try:
            async with asyncio.timeout(self.limits.close_grace_s):
                await server.wait_closed()
        except TimeoutError:  # a client that does not read
            self._abort(*State)
            await server.wait_closed()
        while self._tasks:
            await asyncio.wait(self._tasks)
        await self._calls.finish(self.limits.close_grace_s)

    def post(self, connection_id: str, data: bytes) -> Answer:
        """Send `data` to a client as one text message, after what was posted before. Never waits."""
        self._notice_closing(connection_id)
        answer = management.post(self._core, connection_id, data, self._clock())
        if answer.deliver is not None:
            self._lines[connection_id].put(answer.deliver)
        return answer

    def get(self, connection_id: str) -> Answer:
        """Describe a connection."""
        self._notice_closing(connection_id)
        return management.get(self._core, connection_id, self._clock())

    def delete(self, connection_id: str) -> Answer:
        """Close a connection, once what was posted is sent."""
        self._notice_closing(connection_id)
        answer = management.delete(self._core, connection_id, self._clock())
        if answer.closes:
            self._spawn(self._lines[connection_id].close(NORMAL, self.limits.close_grace_s))
        return answer

    def _route(self, _socket: ServerConnection, request: Request) -> Response | None:
        """Whose request is it? None lets the handshake go on."""
        if path_of(request) == f"/{self.stage}":
            return None
        page = None if self._http is None or asks_upgrade(request) else self._http(request)
        return page or forbidden()

    async def _connect(
        self, socket: ServerConnection, request: Request, response: Response
    ) -> Response | None:
        """A handshake that would succeed (101) waits for `$connect`, which may refuse it."""
        if response.status_code != 101:
            return None
        call = self._core.connect(upgrade_of(request, socket.remote_address[0]), self._clock())
        accepted = False
        try:
            outcome = await self._calls.outcome(call)
            if refused := refusal(call, outcome):
                return refused
            accepted = True
        finally:
            if not accepted:
                self._core.refuse(call.connection_id)
        if self._stopping or socket.state is not State.CONNECTING:  # the client left meanwhile
            self._disconnected(call.connection_id, LOST)
            return forbidden()  # nobody is there to read it
        if chosen := subprotocol(outcome):
            response.headers["Sec-WebSocket-Protocol"] = chosen
        self._accepted[socket.id] = call.connection_id
        return None

    async def _serve(self, socket: ServerConnection) -> None:
        """One connection, from its 101 to its end."""
        connection_id = self._accepted.pop(socket.id)
        self._core.accept(connection_id, self._clock())
        line = Line(socket, lambda size: self._core.sent(connection_id, size))
        self._lines[connection_id] = line
        writer = asyncio.create_task(line.write())
        try:
            close = await self._read(connection_id, line)
        except ConnectionClosed as end:
            close = close_of(end)
        writer.cancel()
        del self._lines[connection_id]
        self._disconnected(connection_id, close)

    async def _read(self, connection_id: str, line: Line) -> Close:
        """Take messages until this side has to close; ConnectionClosed if the connection ends otherwise."""
        while True:
            try:
                async with asyncio.timeout(self._core.deadline(connection_id) - self._clock()):
                    body = await line.socket.recv()
            except TimeoutError:
                if self._clock() < self._core.deadline(connection_id):  # something was posted meanwhile
                    continue
                close = GOING_AWAY
            else:
                if isinstance(body, str):
                    self._spawn(self._answer(self._core.message(connection_id, body, self._clock())))
                    continue
                close = BINARY
            self._core.closing(connection_id)
            await line.close(close, self.limits.close_grace_s)
            return close

    async def _answer(self, call: Call) -> None:
        """Run the function on a message. Only errors reach the client: there are no route responses here."""
        error = FORBIDDEN if call.event is None else (await self._calls.outcome(call)).error
        line = self._lines.get(call.connection_id)
        if error is None or line is None:
            return
        frame = call.error(error).encode()
        if self._core.buffer(call.connection_id, len(frame), self._clock()):
            line.put(frame)

    def _disconnected(self, connection_id: str, close: Close) -> None:
        self._spawn(self._answer(self._core.closed(connection_id, close, self._clock())))

    def _abort(self, *states: State) -> None:
        for socket in [socket for socket in self._sockets if socket.state in states]:
            socket.transport.abort()

    def _notice_closing(self, connection_id: str) -> None:
        """The library answers a client's close frame before the reader hears of it."""
        line = self._lines.get(connection_id)
        if line is not None and not line.open:
            self._core.closing(connection_id)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
