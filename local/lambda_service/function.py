"""One function: its environments, and who gets one.

A free warm environment first (the one used last, as on Lambda), a new one while fewer than `environments`
exist, else the invoke is throttled: a synchronous caller is told, an asynchronous event waits in its queue.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from local.lambda_service.asynchronous import AsyncQueue, Discard, Dispatch
from local.lambda_service.config import FunctionConfig
from local.lambda_service.environment import Environment, Log
from local.lambda_service.records import JsonObject, destination_record, sqs_event
from local.lambda_service.result import InvokeResult
from local.lambda_service.settings import Settings

OnFailure = Callable[[JsonObject], Awaitable[None]]
"""Called with the SQS event of each asynchronous invoke that was given up."""


class ThrottledError(Exception):
    """Every environment is busy and no more may be made."""


class Function:
    """`run` is its loop; `invoke` and `enqueue` may be called while that runs."""

    def __init__(
        self,
        name: str,
        config: FunctionConfig,
        *,
        settings: Settings,
        emulator: Path,
        on_failure: OnFailure,
        log: Log,
    ) -> None:
        self.name = name
        self.config = config
        self.environments: list[Environment] = []
        self._settings = settings
        self._emulator = emulator
        self._on_failure = on_failure
        self._log = log
        self._queue = AsyncQueue(
            settings.queue,
            maximum_event_age_s=config.maximum_event_age_s,
            maximum_retry_attempts=config.maximum_retry_attempts,
        )
        self._made = 0
        self._frozen_at: dict[Environment, float] = {}
        """The free warm environments, in the order in which they became free."""
        self._tasks: set[asyncio.Task[Any]] = set()
        self._changed = asyncio.Event()
        self._stopped = False

    async def invoke(self, request_id: str, payload: bytes) -> InvokeResult:
        """Run it now and wait. Goes on if the caller gives up, as on Lambda. Raises `ThrottledError`."""
        if not self._free():
            raise ThrottledError(self.name)
        return await asyncio.shield(self._spawn(self._run(self._take(), request_id, payload)))

    def enqueue(self, request_id: str, payload: bytes) -> None:
        """Accept an asynchronous event: it starts as soon as the queue's rules let it, or is given up."""
        self._queue.accept(request_id, payload, now=_now())
        self._changed.set()

    async def run(self) -> None:
        """Start what is due and end what is idle, for ever."""
        while True:
            self._changed.clear()
            for action in self._queue.due(now=_now(), free=self._free()):
                match action:
                    case Dispatch(request_id, payload):
                        self._spawn(self._run_event(self._take(), request_id, payload))
                    case Discard():
                        self._spawn(self._give_up(action))
            self._end_idle()
            times = [frozen_at + self.config.idle_s for frozen_at in self._frozen_at.values()]
            if (due := self._queue.next_due()) is not None:
                times.append(due)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(min(times) if times else None):
                    await self._changed.wait()

    async def stop(self) -> None:
        """Kill every environment; running invokes are cancelled, events that wait are forgotten."""
        self._stopped = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(environment.stop() for environment in self.environments))
        self.environments.clear()

    def _free(self) -> int:
        if self._stopped:
            return 0
        return len(self._frozen_at) + self.config.environments - len(self.environments)

    def _take(self) -> Environment:
        if self._frozen_at:
            environment, _ = self._frozen_at.popitem()
            return environment
        self._made += 1
        environment = Environment(
            f"{self.name}/{self._made}",
            function=self.name,
            config=self.config,
            settings=self._settings,
            emulator=self._emulator,
            log=self._log,
        )
        self.environments.append(environment)
        return environment

    async def _run(self, environment: Environment, request_id: str, payload: bytes) -> InvokeResult:
        try:
            result = await environment.invoke(request_id, payload)
        except (RuntimeError, OSError) as error:
            result = InvokeResult.lost("Sandbox.LaunchError", str(error))
        if result.environment_lost:
            await self._end(environment, f"ended: {result.payload.decode(errors='replace')}")
        else:
            self._frozen_at[environment] = _now()
        self._changed.set()
        return result

    async def _run_event(self, environment: Environment, request_id: str, payload: bytes) -> None:
        result = await self._run(environment, request_id, payload)
        if discard := self._queue.finished(request_id, result, now=_now()):
            await self._give_up(discard)
        self._changed.set()

    async def _give_up(self, discard: Discard) -> None:
        at, identity = datetime.now(UTC), self._settings.identity
        record = destination_record(discard, function=self.name, identity=identity, at=at)
        try:
            await self._on_failure(sqs_event(record, message_id=str(uuid4()), identity=identity, at=at))
        except Exception as error:  # the consumer's fault must not end the service
            self._log(self.name, f"on-failure consumer of {discard.request_id} failed: {error!r}")

    def _end_idle(self) -> None:
        since = _now() - self.config.idle_s
        for environment in [each for each, frozen_at in self._frozen_at.items() if frozen_at <= since]:
            del self._frozen_at[environment]
            self._spawn(self._end(environment, f"ended after {self.config.idle_s:g} s idle"))

    async def _end(self, environment: Environment, reason: str) -> None:
        self._log(environment.name, reason)
        try:
            await environment.stop()
        except TimeoutError as error:
            self._log(environment.name, str(error))
        self.environments.remove(environment)
        self._changed.set()

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _now() -> float:
    return asyncio.get_running_loop().time()
