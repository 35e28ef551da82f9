"""Curtain on one machine: gateway, both functions, table and page, started and stopped together."""

import asyncio
import logging
import os
import socket
import threading
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from aiohttp import web

from local.breakage import Breakage
from local.functions import STAGE, TABLE, light_settings, model_functions, shared_settings
from local.gateway import connections_api
from local.gateway.limits import load_limits
from local.gateway.server import Gateway
from local.lambda_service import invoke_api
from local.lambda_service.service import LambdaService
from local.light import LightFunction
from local.options import CACHE, REPOSITORY, Options
from local.page import page_hook
from local.supplies import get_supplies
from local.table import LocalTable


@dataclass(frozen=True)
class Addresses:
    page: str
    websocket: str


class Stage:
    def __init__(self, options: Options) -> None:
        self._options = options
        self._table: LocalTable | None = None
        self._light: LightFunction | None = None
        self._lambda: LambdaService | None = None
        self._control: web.AppRunner | None = None
        self._gateway: Gateway | None = None
        self._stopping = threading.Event()
        self._scratch = TemporaryDirectory(prefix="curtain-")

    async def start(self) -> Addresses:
        """Starts everything. Raises OSError (port in use), and whatever a part says of itself."""
        options = self._options
        with socket.create_server((options.host, options.port)):
            pass  # the likeliest refusal comes before anything is started
        _keep_off_the_callers_aws()
        table_port, control_port = _free_ports(2)
        self._table = LocalTable(table_port, CACHE / "stage" / "table.log")
        scratch = Path(self._scratch.name)
        supplies = await asyncio.to_thread(get_supplies, options, scratch, self._stopping)
        (scratch / "bundles").mkdir()
        breakage = Breakage(options.fail_starts, supplies.bundles, scratch / "bundles")

        control_url = f"http://127.0.0.1:{control_port}"
        shared = shared_settings(options, supplies, table=self._table.endpoint, control=control_url)
        self._light = LightFunction(light_settings(options, supplies, shared), options.subject)
        self._lambda = LambdaService(
            model_functions(options, breakage.bundles, shared),
            on_failure=self._light.consume,
            log=_log_environment,
        )
        self._gateway = Gateway(
            self._light.invoke,
            limits=load_limits(),
            stage=STAGE,
            http=page_hook(REPOSITORY / "web", self._page_config),
        )
        control = web.Application(client_max_size=8 * 1024**2, middlewares=breakage.middlewares)
        connections_api.add_routes(control, self._gateway)
        invoke_api.add_routes(control, self._lambda)
        self._control = web.AppRunner(control, access_log=None)
        await self._control.setup()
        await web.TCPSite(self._control, "127.0.0.1", control_port).start()
        await self._lambda.start()
        await asyncio.to_thread(self._table.create, TABLE)
        await self._gateway.start(options.host, options.port)
        return self._addresses()

    def restart_light(self) -> None:
        """The light function goes on in a new environment."""
        if self._light is not None:
            self._light.restart()

    async def stop(self) -> None:
        """Stops everything that was started, in the order in which nothing waits for what is gone."""
        async with AsyncExitStack() as last_to_first:  # each is stopped, whatever the others raise
            self._stopping.set()
            last_to_first.callback(self._scratch.cleanup)
            if self._table:
                last_to_first.push_async_callback(asyncio.to_thread, self._table.stop)
            if self._control:
                last_to_first.push_async_callback(self._control.cleanup)
            if self._light:
                last_to_first.push_async_callback(asyncio.to_thread, self._light.stop)
            if self._lambda:
                last_to_first.push_async_callback(self._lambda.stop)
            if self._gateway:
                last_to_first.push_async_callback(self._gateway.stop)

    def _addresses(self) -> Addresses:
        at = f"{self._options.host}:{self._options.port}"
        return Addresses(page=f"http://{at}/", websocket=f"ws://{at}/{STAGE}")

    def _page_config(self) -> dict[str, Any]:
        told = {"name", "language", "title", "tagline", "theme", "speakers"}
        worlds = [
            version.model_dump(include=told) for world in self._options.worlds for version in world.versions
        ]
        return {
            "websocket": self._addresses().websocket,
            "world": worlds[0],
            "worlds": worlds,
            "models": [model.name for model in self._options.models],
        }


def _log_environment(environment: str, line: str) -> None:
    logging.getLogger(environment).info("%s", line)


def _keep_off_the_callers_aws() -> None:
    """Nothing of this stage may reach a real account, or go to loopback through a proxy."""
    os.environ.pop("AWS_PROFILE", None)
    for name in ("NO_PROXY", "no_proxy"):
        os.environ[name] = ",".join(filter(None, (os.environ.get(name), "127.0.0.1", "localhost")))


def _free_ports(count: int) -> list[int]:
    """Different ones: all are held until the last is found."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [int(free.getsockname()[1]) for free in sockets]
