"""The deployed functions' environments: containers of the images that were built, each one event at a time.

The emulated AWS posts an image function's events to an address. This is that address: it starts containers
when events come and none is free, as Lambda does, and never gives one two events at once, which would kill
Amazon's emulator inside it.
"""

import asyncio
from collections.abc import Mapping
from contextlib import ExitStack

import aiohttp
from aiohttp import web

from tests.house import free_port
from tests.image.build import Image
from tests.image.engine import Docker
from tests.image.function import Function, running

START_S = 60.0
TIMED_OUT = b"Task timed out after "  # the emulator's own words, with status 200


class Environments:
    """One function's.

    Args:
        variables: the function's, and where its AWS is.
        most: containers at a time; further events wait for one.
    """

    def __init__(
        self, docker: Docker, image: Image, *, variables: Mapping[str, str], memory_mb: int, most: int
    ) -> None:
        self.memory_mb = memory_mb
        self.invokes = 0
        self.failures: list[str] = []
        self.docker = docker
        self.image = image
        self._variables = dict(variables)
        self._idle: list[Function] = []
        self._places = asyncio.Semaphore(most)
        self._containers = ExitStack()
        self._all: list[Function] = []
        self._renewals = 0

    @property
    def started(self) -> int:
        return len(self._all)

    @property
    def log(self) -> str:
        return "\n".join(function.log() for function in self._all)

    async def answer(self, request: web.Request) -> web.Response:
        """One event's. A failure has the status 500, because that is how the emulated AWS knows it."""
        event = await request.read()
        async with self._places:
            self.invokes += 1
            made = self._renewals
            function = self._idle.pop() if self._idle else await self._start()
            try:
                status, answer = await _invoke(function.url, event)
            except aiohttp.ClientError as error:
                return self._failed(f"the container died: {error}".encode())
            if made == self._renewals:
                self._idle.append(function)
            failed = status != 200 or answer.startswith(TIMED_OUT) or b'"errorType"' in answer[:4000]
            return self._failed(answer) if failed else web.Response(body=answer)

    def renew(self, *, memory_mb: int, **variables: str) -> None:
        """From now on events find no warm container; new ones have this memory, and these variables too."""
        self.memory_mb = memory_mb
        self._variables |= variables
        self._renewals += 1
        self._idle.clear()

    def stop(self) -> None:
        self._containers.close()

    def _failed(self, answer: bytes) -> web.Response:
        self.failures.append(answer.decode(errors="replace"))
        return web.Response(status=500, body=answer)

    async def _start(self) -> Function:
        container = running(
            self.docker,
            self.image,
            port=free_port(),
            environment=self._variables,
            memory_mb=self.memory_mb,
        )
        function = await asyncio.to_thread(self._containers.enter_context, container)
        self._all.append(function)
        return function


async def _invoke(url: str, event: bytes) -> tuple[int, bytes]:
    """Raises aiohttp's ClientError, also if nothing listens in time."""
    until = asyncio.get_running_loop().time() + START_S
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as session:
        while True:
            try:
                async with session.post(url, data=event) as response:
                    return response.status, await response.read()
            except aiohttp.ClientConnectorError:  # it is only just starting
                if asyncio.get_running_loop().time() > until:
                    raise
                await asyncio.sleep(0.05)
