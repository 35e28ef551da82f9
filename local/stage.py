"""Curtain on one machine: gateway, both functions, table and page, started and stopped together."""

import asyncio
import logging
import os
import socket
import threading
from collections.abc import Callable
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from lambda_image.engine.convert.ensure import ensure_bundle
from lambda_image.engine.convert.fetch import fetch
from lambda_image.engine.errors import EngineError
from local.gateway import connections_api
from local.gateway.limits import load_limits
from local.gateway.server import Gateway
from local.lambda_service import invoke_api
from local.lambda_service.config import FunctionConfig
from local.lambda_service.service import LambdaService
from local.light import LightFunction
from local.options import CACHE, REPOSITORY, Options
from local.page import page_hook
from local.table import LocalTable
from prologue.faq.build import ensure_embedder
from prologue.faq.index import ensure_index
from prologue.world import World

log = logging.getLogger(__name__)
TABLE = "curtain"
MODEL_FUNCTION = "curtain-model"
STAGE = "prod"


@dataclass(frozen=True)
class Addresses:
    page: str
    websocket: str


class Stage:
    def __init__(self, options: Options, world: World) -> None:
        self._options = options
        self._world = world
        self._table: LocalTable | None = None
        self._light: LightFunction | None = None
        self._lambda: LambdaService | None = None
        self._control: web.AppRunner | None = None
        self._gateway: Gateway | None = None
        self._stopping = threading.Event()

    async def start(self) -> Addresses:
        """Starts everything. Raises OSError (port in use), and whatever a part says of itself."""
        options = self._options
        with socket.create_server((options.host, options.port)):
            pass  # the likeliest refusal comes before anything is started
        _keep_off_the_callers_aws()
        table_port, control_port = _free_ports(2)
        self._table = LocalTable(table_port, CACHE / "stage" / "table.log")
        bundle = await asyncio.to_thread(self._bundle)
        await asyncio.to_thread(ensure_embedder, CACHE / "faq")
        await asyncio.to_thread(ensure_index, CACHE / "faq", self._world)

        control = web.Application(client_max_size=8 * 1024**2)
        shared = {
            "TABLE_NAME": TABLE,
            "CALLBACK_URL": f"http://127.0.0.1:{control_port}/{STAGE}",
            "MODEL_NAME": options.model.name,
            "WORLDS_DIR": str(options.world.parent),
            "AWS_ENDPOINT_URL_DYNAMODB": self._table.endpoint,
            "AWS_ENDPOINT_URL_LAMBDA": f"http://127.0.0.1:{control_port}",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        self._light = LightFunction(
            shared
            | {"MODEL_FUNCTION": MODEL_FUNCTION, "WORLDS": options.world.name, "FAQ_DIR": str(CACHE / "faq")}
        )
        self._lambda = LambdaService(
            {
                MODEL_FUNCTION: FunctionConfig(
                    handler="lambda_image.handler.lambda_handler",
                    task_root=REPOSITORY,
                    env=shared | {"BUNDLE_DIR": str(bundle), "COLD_START_S": str(options.cold_start_s)},
                    environments=options.environments,
                    idle_s=options.idle_s,
                    maximum_event_age_s=60,
                    maximum_retry_attempts=0,
                )
            },
            on_failure=self._light.consume,
            log=_log_environment,
        )
        self._gateway = Gateway(
            self._light.invoke,
            limits=load_limits(),
            stage=STAGE,
            http=page_hook(REPOSITORY / "web", self._page_config),
        )
        connections_api.add_routes(control, self._gateway)
        invoke_api.add_routes(control, self._lambda)
        self._control = web.AppRunner(control, access_log=None)
        await self._control.setup()
        await web.TCPSite(self._control, "127.0.0.1", control_port).start()
        await self._lambda.start()
        await asyncio.to_thread(self._table.create, TABLE)
        await self._gateway.start(options.host, options.port)
        return self._addresses()

    async def stop(self) -> None:
        """Stops everything that was started, in the order in which nothing waits for what is gone."""
        async with AsyncExitStack() as last_to_first:  # each is stopped, whatever the others raise
            self._stopping.set()
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

    def _bundle(self) -> Path:
        """The model's bundle, with the world's prefix; fetched and built where it isn't there yet."""
        model = self._options.model
        return ensure_bundle(
            fetch(model.source, CACHE / "checkpoints", progress=self._progress(f"fetching {model.name}")),
            CACHE / "bundles",
            name=model.name,
            entry=model.entry,
            worlds=[self._options.world],
            progress=self._progress(f"packing {model.name}, this once"),
        )

    def _progress(self, what: str) -> Callable[[str, int, int], None]:
        """Logs each tenth of the way; ends it once the stage is to stop."""
        told = 0

        def progress(_: str, done: int, total: int) -> None:
            nonlocal told
            if self._stopping.is_set():
                raise EngineError(f"{what}: stopped")
            if (tenths := 10 * done // max(total, 1)) > told:
                told = tenths
                log.info("%s: %d %%", what, 10 * told)

        return progress

    def _addresses(self) -> Addresses:
        at = f"{self._options.host}:{self._options.port}"
        return Addresses(page=f"http://{at}/", websocket=f"ws://{at}/{STAGE}")

    def _page_config(self) -> dict[str, Any]:
        world = self._world
        return {
            "websocket": self._addresses().websocket,
            "world": world.model_dump(include={"name", "title", "tagline", "theme", "speakers"}),
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
