"""Small HTTP servers of this process, on a thread of their own."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from aiohttp import web

LARGEST = 8 * 1024 * 1024  # an invoke's event is at most 6 MB

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
T = TypeVar("T")


class Serving:
    """See `serving`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._runners: list[web.AppRunner] = []

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs it on the servers' thread, and waits."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def serve(self, handler: Handler) -> str:
        """Answers every request by `handler`; returns the server's address."""
        return self.do(self._serve(handler))

    async def _serve(self, handler: Handler) -> str:
        app = web.Application(client_max_size=LARGEST)
        app.router.add_route("*", "/{path:.*}", handler)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self._runners.append(runner)
        return f"http://127.0.0.1:{runner.addresses[0][1]}"

    async def stop(self) -> None:
        for runner in self._runners:
            await runner.cleanup()


@contextmanager
def serving() -> Iterator[Serving]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="serving", daemon=True)
    thread.start()
    servers = Serving(loop)
    try:
        yield servers
    finally:
        servers.do(servers.stop())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
