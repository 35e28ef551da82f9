"""One open connection's socket: what is to be sent, in order, and how it closes."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

from local.gateway.core import LOST, NO_STATUS
from local.gateway.events import Close


class Line:
    """Sends text to one client, never making the sender wait. The core decides how much may wait here."""

    def __init__(self, socket: ServerConnection, sent: Callable[[int], None]) -> None:
        self.socket = socket
        self._sent = sent
        self._outbox: asyncio.Queue[bytes] = asyncio.Queue()

    @property
    def open(self) -> bool:
        """Whether neither side has begun to close."""
        return self.socket.state is State.OPEN

    def put(self, text: bytes) -> None:
        """Send one text message (UTF-8) after those before it."""
        self._outbox.put_nowait(text)

    async def write(self) -> None:
        """Move messages to the socket, calling `sent(bytes)` after each, until the connection closes."""
        with suppress(ConnectionClosed):
            while True:
                text = await self._outbox.get()
                await self.socket.send(text, text=True)
                self._sent(len(text))
                self._outbox.task_done()

    async def close(self, close: Close, grace_s: float) -> None:
        """Send what is waiting, then a close frame; a client that takes longer than `grace_s` is cut off."""
        try:
            async with asyncio.timeout(grace_s):
                await self._outbox.join()
                await self.socket.close(close.code, close.reason)
        except TimeoutError:
            self.socket.transport.abort()
            await self.socket.wait_closed()


def close_of(end: ConnectionClosed) -> Close:
    """The code and reason that `$disconnect` is told: those of the side that closed first."""
    if end.rcvd is not None and end.rcvd_then_sent:
        return NO_STATUS if end.rcvd.code == NO_STATUS.code else Close(end.rcvd.code, end.rcvd.reason)
    return LOST if end.sent is None else Close(end.sent.code, end.sent.reason)
