"""A Lambda service under test: one function whose handler does what the event says."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil

from local.lambda_service.config import FunctionConfig
from local.lambda_service.function import Function, OnFailure
from local.lambda_service.processes import Session
from local.lambda_service.result import InvokeResult
from local.lambda_service.service import LambdaService
from local.lambda_service.settings import Settings, load_settings

HANDLER = """
import os, subprocess, sys, threading, time
from pathlib import Path

invokes = 0

def beat(path):
    while True:
        with open(path, "a") as file:
            file.write(".")
        time.sleep(0.001)

def handler(event, context):
    global invokes
    invokes += 1
    print("handling", event.get("do"))
    match event.get("do"):
        case "wait":
            Path(event["began"]).touch()
            while not os.path.exists(event["until"]):
                time.sleep(0.002)
        case "fail":
            raise ValueError("no such scene")
        case "exit":
            os._exit(3)
        case "environ":
            return dict(os.environ)
        case "large":
            return "x" * 6_300_000
        case "beat":
            threading.Thread(target=beat, args=[event["path"]], daemon=True).start()
        case "child":
            child = subprocess.Popen(["sleep", "600"], start_new_session=event["new_session"])
            return child.pid
    return {
        "pid": os.getpid(),
        "invokes": invokes,
        "request_id": context.aws_request_id,
        "arn": context.invoked_function_arn,
        "remaining_ms": context.get_remaining_time_in_millis(),
        "size": len(event.get("pad", "")),
    }
"""


class Stage:
    """A service with one function, and what came out of it."""

    def __init__(self, service: LambdaService, function: Function, folder: Path) -> None:
        self.service = service
        self.function = function
        self.folder = folder
        self.failures: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.lines: list[tuple[str, str]] = []
        self._ids = 0

    def next_id(self) -> str:
        self._ids += 1
        return f"request-{self._ids}"

    async def invoke(self, do: str | None = None, **event: Any) -> Any:
        result = await self.raw(do, **event)
        assert not result.failed, result.payload
        return json.loads(result.payload)

    async def raw(self, do: str | None = None, **event: Any) -> InvokeResult:
        return await self.function.invoke(self.next_id(), json.dumps({"do": do, **event}).encode())

    def enqueue(self, do: str, **event: Any) -> str:
        request_id = self.next_id()
        self.function.enqueue(request_id, json.dumps({"do": do, **event}).encode())
        return request_id

    def waiter(self, name: str) -> dict[str, str]:
        """An event whose handler runs until `release`."""
        return {"do": "wait", "began": str(self.folder / name), "until": str(self.folder / "released")}

    def release(self) -> None:
        (self.folder / "released").touch()

    async def began(self, *names: str) -> None:
        await until(lambda: all((self.folder / name).exists() for name in names))

    async def failure(self) -> dict[str, Any]:
        """The destination record inside the next SQS event."""
        event = await asyncio.wait_for(self.failures.get(), 30)
        record: dict[str, Any] = json.loads(event["Records"][0]["body"])
        return record

    def pids(self) -> set[int]:
        return {pid for view in self.service.state() if view.pid for pid in Session(view.pid).members()}


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.005)


def status(pid: int) -> str:
    return str(psutil.Process(pid).status())


def ended(pid: int) -> bool:
    """Gone, or only waiting for the init process to reap it."""
    try:
        return status(pid) == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def fast() -> Settings:
    """Waits of milliseconds, so that a test need not wait seconds."""
    settings = load_settings()
    queue = settings.queue.model_copy(update={"throttle_backoff_s": 0.01, "retry_waits_s": (0.01, 0.01)})
    return settings.model_copy(update={"queue": queue})


@asynccontextmanager
async def running(
    folder: Path, *, on_failure: OnFailure | None = None, **config: Any
) -> AsyncIterator[Stage]:
    """A started service whose function `tale` has this configuration; stopped at the end."""
    (folder / "tale.py").write_text(HANDLER, encoding="utf-8")

    async def failed(event: dict[str, Any]) -> None:
        stage.failures.put_nowait(event)

    def log(environment: str, line: str) -> None:
        stage.lines.append((environment, line))

    function = FunctionConfig(**{"handler": "tale.handler", "task_root": folder, **config})
    service = LambdaService({"tale": function}, on_failure=on_failure or failed, log=log, settings=fast())
    stage = Stage(service, service.function("tale"), folder)
    await service.start()
    try:
        yield stage
    finally:
        stage.release()
        await service.stop()
    assert service.state() == []
