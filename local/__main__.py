"""`python -m local`: the whole of Curtain on this machine, until Ctrl+C."""

import asyncio
import errno
import logging
import os
import signal
import sys
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.logging import RichHandler

from lambda_image.engine.errors import EngineError
from local.lambda_service.emulator import EmulatorUnavailableError
from local.options import BadOption, Options, find_models, find_worlds
from local.table import TableUnavailable
from prologue.faq.convert import SourceError
from prologue.world import WorldError

if TYPE_CHECKING:
    from local.stage import Stage

REFUSALS = (BadOption, WorldError, EngineError, SourceError, EmulatorUnavailableError, TableUnavailable)


def main(
    port: Annotated[int, typer.Option(help="Port of the page and the WebSocket.", min=1, max=65535)] = 8000,
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="A model of the catalog (docs/models.md), or a checkpoint's folder; several may be named, "
            "the first is the default."
        ),
    ] = None,
    world: Annotated[
        list[str] | None,
        typer.Option(
            help="A world: a name under prologue/worlds/, or a folder; several may be named. Default: all."
        ),
    ] = None,
    environments: Annotated[
        int, typer.Option(help="How many listeners each model can serve at once.", min=1, max=16)
    ] = 2,
    idle: Annotated[
        float, typer.Option(help="Seconds until an idle model environment ends.", min=0.1)
    ] = 300.0,
    cold_start: Annotated[
        float, typer.Option(help="Stretch the model's load to so many seconds, as on AWS.", min=0.0)
    ] = 0.0,
    fail_starts: Annotated[
        int, typer.Option(help="So many of the first invocations find no model: to see that.", min=0)
    ] = 0,
    daily_seconds: Annotated[
        float, typer.Option(help="So many seconds the models work a day, then they rest; 0: no cap.", min=0)
    ] = 0.0,
    subject: Annotated[
        str | None, typer.Option(help="Everybody is signed in under this name, so that `list` works.")
    ] = None,
    verbose: Annotated[bool, typer.Option(help="Show debug logs too.")] = False,
) -> None:
    """Curtain on one machine: opens the house, prints where, and closes it at Ctrl+C.

    SIGUSR1 gives the light function a new environment, as Lambda may at any time.
    """
    _show_logs(verbose)
    try:
        options = Options(
            port=port,
            models=find_models(model or ["demo"]),
            worlds=find_worlds(world or []),
            environments=environments,
            idle_s=idle,
            cold_start_s=cold_start,
            fail_starts=fail_starts,
            daily_seconds=daily_seconds,
            subject=subject,
        )
        from local.stage import Stage  # imports much: only when the options are right

        asyncio.run(_run(Stage(options)))
    except REFUSALS as error:
        _give_up(str(error))
    except OSError as error:
        _give_up(
            f'port {port} is in use; choose another: make run ARGS="--port {port + 1}"'
            if error.errno == errno.EADDRINUSE
            else str(error)
        )


async def _run(stage: "Stage") -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()

    def interrupted() -> None:
        if stopping.is_set():
            os._exit(130)  # a second Ctrl+C: the kernel ends the children with us
        stopping.set()

    loop.add_signal_handler(signal.SIGINT, interrupted)
    loop.add_signal_handler(signal.SIGTERM, stopping.set)
    loop.add_signal_handler(signal.SIGUSR1, stage.restart_light)
    try:
        starting = asyncio.create_task(stage.start())
        stop = asyncio.create_task(stopping.wait())
        await asyncio.wait((starting, stop), return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            addresses = starting.result()
            print(f"ready page={addresses.page} websocket={addresses.websocket}", flush=True)
            await stop
        else:
            starting.cancel()
    finally:
        await stage.stop()


def _show_logs(verbose: bool) -> None:
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.INFO,
        format="%(name)s: %(message)s",
        datefmt="%H:%M:%S",
        handlers=[RichHandler(console=Console(stderr=True), show_path=False, markup=False)],
    )
    for noisy in ("botocore", "boto3", "urllib3", "websockets", "aiohttp", "asyncio", "faiss"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def _give_up(message: str) -> None:
    print(f"curtain: {message}", file=sys.stderr)
    raise SystemExit(1)


if __name__ == "__main__":
    typer.run(main)
