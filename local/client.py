"""A WebSocket client of Curtain: connects, resumes, pings, keeps the story; for the chat and the tests."""

import asyncio
import json
import secrets
import time
from collections import deque
from collections.abc import AsyncIterator
from typing import Any, Self

import websockets
from websockets.asyncio.client import ClientConnection

from local.story import Story
from local.tickets import Admission
from session.events import MAX_FRAME_BYTES, ServerFrame, SessionSnapshot, parse_server_frame
from session.limits import limits


class TooLong(ValueError):
    """The frame would be larger than 32 KB: the gateway would close the connection for it."""


class NotConnected(RuntimeError):
    """There is no line yet."""


class Client:
    """One connection. Use as an async context manager; iterate over `frames()`.

    Args:
        url: the WebSocket's address.
        story: goes on with this one.
        admission: how to get in, where not everybody does.
        wishes: what `hello` asks of a new story: world, language, model.
    """

    def __init__(
        self,
        url: str,
        story: Story | None = None,
        admission: Admission | None = None,
        **wishes: str | None,
    ) -> None:
        self.story = story or Story()
        self._url = url
        self._admission = admission or Admission()
        self._wishes = wishes
        self._socket: ClientConnection | None = None
        # When the last frames were sent: as many as a house takes within a second, but for two that bunch.
        self._sent = deque[float](maxlen=limits().frames_per_s - 2)

    async def __aenter__(self) -> Self:
        """Raises NotAdmitted, OSError and websockets' errors."""
        address = await self._admission.address(self._url)  # a fresh ticket, where one is needed
        # API Gateway's answer to protocol pings is not documented: our own `ping` frames keep the line.
        self._socket = await websockets.connect(address, ping_interval=None, compression=None)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.socket.close()

    @property
    def socket(self) -> ClientConnection:
        if self._socket is None:
            raise NotConnected("not connected: use `async with Client(url) as client`")
        return self._socket

    async def hello(self) -> None:
        """Says hello; resumes the story if there is one."""
        await self.send(self.story.hello(**self._wishes))

    async def send(self, frame: dict[str, Any]) -> None:
        """Sends one frame, as fast as houses take them. Raises TooLong, and websockets' ConnectionClosed."""
        text = _text(frame)
        if frame["action"] not in ("stop", "ping"):  # which are never refused
            if len(self._sent) == self._sent.maxlen:
                await asyncio.sleep(max(0.0, self._sent[0] + 1.0 - time.monotonic()))
            self._sent.append(time.monotonic())
        await self.socket.send(text)

    async def say(self, text: str) -> str:
        """Begins a turn; returns its id. Raises TooLong. Lost on a dead line, it is sent once more."""
        turn_id = f"t-{secrets.token_hex(6)}"
        _text({"action": "say", "turn_id": turn_id, "text": text, "request_id": turn_id})
        await self.send(self.story.say(turn_id, text))
        return turn_id

    async def frames(self) -> AsyncIterator[ServerFrame]:
        """Every frame, taken into the story first; what is missing is asked for again."""
        async for message in self.socket:
            frame = parse_server_frame(message)
            if self.story.receive(frame):
                await self.hello()
            elif isinstance(frame, SessionSnapshot) and self.story.held is None:
                for unheard in self.story.unconfirmed:
                    await self.send(unheard)
            yield frame

    async def keep(self) -> None:
        """Pings for ever: at 3 s (the listener stays), then every 10 s; a snapshot that is due, every 5."""
        await asyncio.sleep(3)
        while True:
            if not self.story.session_id:
                await self.hello()  # the answer to the first one was lost
            else:
                await self.send(self.story.ping())
            await asyncio.sleep(10 if self.story.held is None else 5)


def _text(frame: dict[str, Any]) -> str:
    text = json.dumps(frame, ensure_ascii=False)
    if len(text.encode("utf-8", "replace")) > MAX_FRAME_BYTES:
        raise TooLong(f"a frame has at most {MAX_FRAME_BYTES:,} bytes; shorten the text")
    return text
