"""The light function on this machine: the real handler, with real events, in a pool of threads."""

import asyncio
import importlib
import logging
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

log = logging.getLogger(__name__)
ENVIRONMENTS = 16  # how many frames are worked on at once; on Lambda each would be an environment

Handler = Callable[[dict[str, Any], object], dict[str, Any]]


class LightFunction:
    """Lambda gives a function its settings in the environment, so they go into this process's environment.

    Args:
        subject: what an authorizer would have found out about every listener.
    """

    def __init__(self, settings: Mapping[str, str], subject: str | None = None) -> None:
        os.environ.update(settings)
        self._subject = subject
        self._handler = _load()
        self._pool = ThreadPoolExecutor(ENVIRONMENTS, thread_name_prefix="light")

    async def invoke(self, event: dict[str, Any]) -> dict[str, Any]:
        """Runs the handler; what it raises, the gateway answers as API Gateway does."""
        if self._subject is not None and "requestContext" in event:
            event["requestContext"]["authorizer"] = {"subject": self._subject}
        context = SimpleNamespace(function_name="curtain-prologue")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, self._handler, event, context)

    async def consume(self, event: dict[str, Any]) -> None:
        """Takes a batch from the on-failure queue; what the handler raises is the log's."""
        try:
            await self.invoke(event)
        except Exception:  # as on Lambda, where the queue would deliver it again
            log.exception("the light function could not take a failure")

    def restart(self) -> None:
        """From now on a new environment, which remembers nothing."""
        self._handler = _load()
        log.info("the light function goes on in a new environment")

    def stop(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)


def _load() -> Handler:
    """The handler, its module run anew: clients, worlds and indexes are kept in the module."""
    import prologue.handler  # reads its settings from the environment

    handler: Handler = importlib.reload(prologue.handler).lambda_handler
    return handler
