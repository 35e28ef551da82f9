"""Calls of the function behind the gateway: side by side, waited for no longer than the platform waits."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from local.gateway.core import INTERNAL, TIMED_OUT, Call, answer_status
from local.gateway.events import Event

Integration = Callable[[Event], Awaitable[Event | None]]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """A call as the client sees it: an error, or the function's answer."""

    error: str | None = None
    answer: Event = field(default_factory=dict)


class Calls:
    """Runs an integration. A call that is not waited for any longer runs on."""

    def __init__(self, integration: Integration, timeout_s: float) -> None:
        self._integration = integration
        self._timeout_s = timeout_s
        self._running: set[asyncio.Task[Outcome]] = set()
        self._released = asyncio.Event()

    async def outcome(self, call: Call) -> Outcome:
        """Call the integration and wait for it, at most until the time limit or `release`."""
        task = asyncio.create_task(self._run(call))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        released = asyncio.create_task(self._released.wait())
        try:
            await asyncio.wait({task, released}, timeout=self._timeout_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            released.cancel()
        return task.result() if task.done() else Outcome(TIMED_OUT)

    def release(self) -> None:
        """Nobody is waited for any longer: the gateway shuts down."""
        self._released.set()

    async def finish(self, grace_s: float) -> None:
        """Give running calls `grace_s` seconds, then cancel them."""
        if not self._running:
            return
        _, late = await asyncio.wait(self._running, timeout=grace_s)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    async def _run(self, call: Call) -> Outcome:
        if call.event is None:
            return Outcome()
        where = f"{call.event['requestContext']['routeKey']} of connection {call.connection_id}"
        try:
            answer = await self._integration(call.event)
        except Exception:  # whatever the function raises, the client gets API Gateway's frame
            _log.exception("the function raised on %s", where)
            return Outcome(INTERNAL)
        if answer is None or answer_status(answer) is None:
            _log.error(
                "the function returned a malformed answer on %s (return a dict with statusCode)", where
            )
            return Outcome(INTERNAL)
        return Outcome(answer=answer)
