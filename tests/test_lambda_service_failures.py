"""Failed invokes under the real emulator: what is reported, and which environments are replaced."""

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from local.lambda_service import service
from local.lambda_service.environment import EnvironmentState
from tests.lambda_service_stage import ended, running, until


def test_an_event_too_old_to_start_is_reported(tmp_path: Path) -> None:
    async def play() -> None:
        async with running(tmp_path, environments=1, maximum_event_age_s=0.2) as stage:
            stage.enqueue(**stage.waiter("first"))
            await stage.began("first")
            late = stage.enqueue("late", turn=7)
            record = await stage.failure()
            assert record["requestContext"]["requestId"] == late
            assert record["requestContext"]["condition"] == "EventAgeExceeded"
            assert record["requestContext"]["approximateInvokeCount"] == 0
            assert record["requestPayload"] == {"do": "late", "turn": 7}

    asyncio.run(play())


def test_an_event_whose_handler_raises_is_reported_after_its_retries(tmp_path: Path) -> None:
    async def play() -> None:
        async with running(tmp_path, maximum_retry_attempts=1) as stage:
            request_id = stage.enqueue("fail", turn=7)
            record = await stage.failure()
            assert record["requestContext"]["requestId"] == request_id
            assert record["requestContext"]["condition"] == "RetriesExhausted"
            assert record["requestContext"]["approximateInvokeCount"] == 2
            assert record["responseContext"]["functionError"] == "Unhandled"
            assert record["responsePayload"]["errorType"] == "ValueError"
            assert record["responsePayload"]["requestId"] == request_id
            (view,) = stage.service.state()
            assert (view.state, view.invokes) == (EnvironmentState.FROZEN, 2)

    asyncio.run(play())


def test_a_consumer_that_fails_is_logged_and_does_no_harm(tmp_path: Path) -> None:
    async def play() -> None:
        async def broken(event: dict[str, Any]) -> None:
            raise KeyError("session")

        async with running(tmp_path, on_failure=broken) as stage:
            stage.enqueue("fail")
            await until(lambda: any("KeyError('session')" in text for _, text in stage.lines))
            assert (await stage.invoke())["invokes"] == 2

    asyncio.run(play())


@pytest.mark.parametrize(
    ("config", "do", "error_type"),
    [
        ({}, "exit", "Runtime.ExitError"),
        ({}, "large", "Function.ResponseSizeTooLarge"),
        ({"timeout_s": 2}, "wait", "Sandbox.Timedout"),
    ],
)
def test_an_environment_whose_runtime_is_lost_is_replaced(
    tmp_path: Path, config: dict[str, Any], do: str, error_type: str
) -> None:
    async def play() -> None:
        async with running(tmp_path, **config) as stage:
            before = await stage.invoke()
            pids = stage.pids()
            event = stage.waiter("waiting") if do == "wait" else {"do": do}
            result = await stage.raw(**event)
            assert result.failed
            assert json.loads(result.payload)["errorType"] == error_type
            assert stage.service.state() == []
            await until(lambda: all(map(ended, pids)))
            after = await stage.invoke()
            assert after["pid"] != before["pid"]
            assert after["invokes"] == 1
            assert stage.service.state()[0].name == "tale/2"

    asyncio.run(play())


def test_an_event_whose_runtime_exits_is_reported(tmp_path: Path) -> None:
    async def play() -> None:
        async with running(tmp_path) as stage:
            request_id = stage.enqueue("exit")
            record = await stage.failure()
            assert record["responsePayload"] == {
                "errorType": "Runtime.ExitError",
                "errorMessage": f"RequestId: {request_id} Error: Runtime exited with error: exit status 3",
            }

    asyncio.run(play())


def test_an_emulator_that_dies_is_replaced(tmp_path: Path) -> None:
    async def play() -> None:
        async with running(tmp_path) as stage:
            task = asyncio.create_task(stage.raw(**stage.waiter("waiting")))
            await stage.began("waiting")
            pids = stage.pids()
            emulator = stage.service.state()[0].pid
            assert emulator
            os.kill(emulator, signal.SIGKILL)
            result = await task
            assert json.loads(result.payload)["errorType"] == "Runtime.ExitError"
            await until(lambda: all(map(ended, pids)))
            assert (await stage.invoke())["invokes"] == 1

    asyncio.run(play())


def test_a_runtime_that_died_while_frozen_does_not_swallow_the_next_event(tmp_path: Path) -> None:
    async def play() -> None:
        async with running(tmp_path) as stage:
            os.kill((await stage.invoke())["pid"], signal.SIGKILL)
            assert json.loads((await stage.raw()).payload) == {
                "errorType": "Runtime.ExitError",
                "errorMessage": "RequestId: request-2 Error: Runtime exited with error: signal: killed",
            }
            assert (await stage.invoke())["invokes"] == 1

    asyncio.run(play())


def test_a_handler_that_cannot_be_imported_says_so(tmp_path: Path) -> None:
    async def play() -> None:
        async with running(tmp_path) as stage:
            (tmp_path / "tale.py").write_text("import no_such_module", encoding="utf-8")
            error = json.loads((await stage.raw()).payload)
            assert error["errorType"] == "Runtime.ImportModuleError"
            assert "no_such_module" in error["errorMessage"]

    asyncio.run(play())


def test_a_runtime_that_exits_during_init_says_so(tmp_path: Path) -> None:
    async def play() -> None:
        async with running(tmp_path) as stage:
            (tmp_path / "tale.py").write_text("import os; os._exit(9)", encoding="utf-8")
            error = json.loads((await stage.raw()).payload)
            assert error["errorType"] == "Runtime.ExitError"
            assert "before it took the event" in error["errorMessage"]

    asyncio.run(play())


def test_an_emulator_that_does_not_start_is_a_failed_invoke(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "find_emulator", lambda: Path("/bin/false"))

    async def play() -> None:
        async with running(tmp_path) as stage:
            error = json.loads((await stage.raw()).payload)
            assert error["errorType"] == "Sandbox.LaunchError"
            assert "did not start to listen" in error["errorMessage"]
            assert stage.service.state() == []

    asyncio.run(play())


def test_a_task_root_that_is_not_there_is_a_failed_invoke(tmp_path: Path) -> None:
    async def play() -> None:
        async with running(tmp_path, task_root=tmp_path / "nowhere") as stage:
            error = json.loads((await stage.raw()).payload)
            assert error["errorType"] == "Sandbox.LaunchError"
            assert "nowhere" in error["errorMessage"]

    asyncio.run(play())
