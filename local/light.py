"""The light function on this machine: the real handler, with real events, in a pool of threads."""

import asyncio
import logging
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

log = logging.getLogger(__name__)
ENVIRONMENTS = 16  # how many frames are worked on at once; on Lambda each would be an environment


class LightFunction:
    """Lambda gives a function its settings in the environment, so they go into this process's environment."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        os.environ.update(settings)
        from prologue.handler import lambda_handler  # reads its settings from there

        self._handler = lambda_handler
        self._pool = ThreadPoolExecutor(ENVIRONMENTS, thread_name_prefix="light")

    async def invoke(self, event: dict[str, Any]) -> dict[str, Any]:
        """Runs the handler; what it raises, the gateway answers as API Gateway does."""
        context = SimpleNamespace(function_name="curtain-prologue")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, self._handler, event, context)

    async def consume(self, event: dict[str, Any]) -> None:
        """Takes a batch from the on-failure queue; what the handler raises is the log's."""
        try:
            await self.invoke(event)
        except Exception:  # as on Lambda, where the queue would deliver it again
            log.exception("the light function could not take a failure")

    def stop(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
