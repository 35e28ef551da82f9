"""Environments under the real emulator and the real runtime client: reuse, throttling, freezing, endings."""

import asyncio
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from local.lambda_service.config import REPOSITORY, FunctionConfig
from local.lambda_service.environment import Environment, EnvironmentState
from local.lambda_service.function import ThrottledError
from local.lambda_service.processes import Session
from local.lambda_service.service import FunctionNotFoundError
from local.lambda_service.settings import load_settings
from tests.lambda_service_stage import HANDLER, ended, running, status, until


def test_a_warm_environment_is_used_again(tmp_path: Path) -> None:
    async def play() -> None:
        async with running(tmp_path) as stage:
            replies = [await stage.invoke() for _ in range(3)]
            assert [reply["invokes"] for reply in replies] == [1, 2, 3]
            assert len({reply["pid"] for reply in replies}) == 1
            (view,) = stage.service.state()
            assert (view.name, view.state, view.invokes) == ("tale/1", EnvironmentState.FROZEN, 3)

    asyncio.run(play())


def test_the_handler_sees_the_callers_request_id_and_the_functions_limits(tmp_path: Path) -> None:
    async def play() -> None:
        async with running(tmp_path, timeout_s=77) as stage:
            for request_id in ("request-1", "request-2"):
                reply = await stage.invoke()
                assert reply["request_id"] == request_id
                assert reply["arn"] == stage.service.settings.identity.function_arn("tale")
                assert 0 < reply["remaining_ms"] <= 77_000

    asyncio.run(play())


def test_the_handler_sees_its_own_variables_and_not_the_callers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "the developer's own")
    monkeypatch.setenv("A_SECRET", "of the developer")

    async def play() -> None:
        async with running(tmp_path, env={"TABLE": "sessions"}, memory_mb=512) as stage:
            variables = await stage.invoke("environ")
            assert variables["TABLE"] == "sessions"
            assert variables["AWS_LAMBDA_FUNCTION_NAME"] == "tale"
            assert variables["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "512"
            assert variables["AWS_REGION"] == "us-east-1"
            assert variables["LAMBDA_TASK_ROOT"] == str(tmp_path)
            assert variables["AWS_SECRET_ACCESS_KEY"] == "local"
            assert "A_SECRET" not in variables

    asyncio.run(play())


def test_the_log_has_the_handlers_lines_and_the_emulators(tmp_path: Path) -> None:
    async def play() -> None:
        async with running(tmp_path) as stage:
            await stage.invoke("anything")
            await stage.raw("fail")
            texts = [text for _, text in stage.lines]
            assert texts[0].startswith("cold start, pid ")
            assert texts[1:3] == ["START RequestId: request-1", "handling anything"]
            assert texts[3].startswith("REPORT RequestId: request-1 Duration: ")
            assert texts[4:6] == ["START RequestId: request-2", "handling fail"]
            assert "[ERROR] ValueError: no such scene" in texts
            assert 'raise ValueError("no such scene")' in [text.strip() for text in texts]
            assert {name for name, _ in stage.lines} == {"tale/1"}

    asyncio.run(play())


def test_two_at_once_get_two_environments_and_a_third_caller_is_throttled(tmp_path: Path) -> None:
    async def play() -> None:
        async with running(tmp_path) as stage:
            first = asyncio.create_task(stage.invoke(**stage.waiter("first")))
            second = asyncio.create_task(stage.invoke(**stage.waiter("second")))
            await stage.began("first", "second")
            assert [view.state for view in stage.service.state()] == [EnvironmentState.BUSY] * 2
            with pytest.raises(ThrottledError):
                await stage.raw()
            stage.release()
            assert (await first)["pid"] != (await second)["pid"]

    asyncio.run(play())


def test_the_environment_used_last_is_taken_first(tmp_path: Path) -> None:
    async def play() -> None:
        async with running(tmp_path) as stage:
            long = asyncio.create_task(stage.invoke(**stage.waiter("long")))
            await stage.began("long")
            await stage.invoke()
            stage.release()
            last = (await long)["pid"]
            assert [(await stage.invoke())["pid"] for _ in range(2)] == [last, last]

    asyncio.run(play())


def test_an_event_that_finds_the_house_full_waits_and_runs_later(tmp_path: Path) -> None:
    async def play() -> None:
        async with running(tmp_path) as stage:
            stage.enqueue(**stage.waiter("first"))
            stage.enqueue(**stage.waiter("second"))
            await stage.began("first", "second")
            stage.enqueue(**stage.waiter("third"))
            await asyncio.sleep(0.05)  # a few of its backoffs
            assert not (tmp_path / "third").exists()
            stage.release()
            await stage.began("third")
            assert len(stage.service.state()) == 2
            assert stage.failures.empty()

    asyncio.run(play())


def test_a_payload_larger_than_any_buffer_arrives(tmp_path: Path) -> None:
    async def play() -> None:
        async with running(tmp_path) as stage:
            assert (await stage.invoke(pad="x" * 3_000_000))["size"] == 3_000_000

    asyncio.run(play())


def test_nothing_runs_between_invokes(tmp_path: Path) -> None:
    beats = tmp_path / "beats"

    async def play() -> None:
        async with running(tmp_path) as stage:
            reply = await stage.invoke("beat", path=str(beats))
            assert {status(pid) for pid in stage.pids()} == {psutil.STATUS_STOPPED}
            assert reply["pid"] in stage.pids()
            before = beats.stat().st_size
            await asyncio.sleep(0.05)  # 50 beats, if it ran
            assert beats.stat().st_size == before
            waiting = asyncio.create_task(stage.invoke(**stage.waiter("waiting")))
            await until(lambda: beats.stat().st_size > before)
            stage.release()
            assert (await waiting)["pid"] == reply["pid"]

    asyncio.run(play())


@pytest.mark.parametrize("new_session", [False, True])
def test_a_handlers_child_is_frozen_and_ended_too(tmp_path: Path, new_session: bool) -> None:
    async def play() -> int:
        async with running(tmp_path) as stage:
            child: int = await stage.invoke("child", new_session=new_session)
            assert status(child) == psutil.STATUS_STOPPED
        return child

    assert ended(asyncio.run(play()))


def test_an_idle_environment_is_ended(tmp_path: Path) -> None:
    async def play() -> None:
        async with running(tmp_path, idle_s=0.1) as stage:
            await stage.invoke()
            pids = stage.pids()
            await until(lambda: stage.service.state() == [])
            assert all(map(ended, pids))
            assert ("tale/1", "ended after 0.1 s idle") in stage.lines
            assert (await stage.invoke())["invokes"] == 1

    asyncio.run(play())


def test_stop_leaves_no_process_whatever_state_it_is_in(tmp_path: Path) -> None:
    async def play() -> set[int]:
        async with running(tmp_path, environments=3) as stage:
            busy = asyncio.create_task(stage.raw(**stage.waiter("busy")))
            await stage.began("busy")
            await stage.invoke()
            starting = asyncio.create_task(stage.raw())
            starting_too = asyncio.create_task(stage.raw())
            await until(lambda: len(stage.service.state()) == 3)
            pids = stage.pids()
            await stage.service.stop()
            results = await asyncio.gather(busy, starting, starting_too, return_exceptions=True)
            assert isinstance(results[0], asyncio.CancelledError)
            assert stage.service.state() == []
            with pytest.raises(ThrottledError):
                await stage.raw()
            return pids

    before = set(psutil.Process().children(recursive=True))  # of other tests in this process: a browser
    pids = asyncio.run(play())
    assert len(pids) >= 4
    assert all(map(ended, pids))
    after = set(psutil.Process().children(recursive=True)) - before
    assert [child for child in after if not ended(child.pid)] == []


STAGE_TO_KILL = """
import asyncio, sys
from pathlib import Path
from local.lambda_service.config import FunctionConfig
from local.lambda_service.service import LambdaService

async def failed(event):
    raise AssertionError(event)

async def main():
    config = FunctionConfig(handler="tale.handler", task_root=Path(sys.argv[1]))
    service = LambdaService({"tale": config}, on_failure=failed, log=lambda name, line: None)
    await service.start()
    await service.function("tale").invoke("1", b"{}")
    print(service.state()[0].pid, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


def test_frozen_environments_die_with_a_stage_that_is_killed(tmp_path: Path) -> None:
    (tmp_path / "tale.py").write_text(HANDLER, encoding="utf-8")
    command = [sys.executable, "-c", STAGE_TO_KILL, str(tmp_path)]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE) as stage:
        assert stage.stdout
        leader = int(stage.stdout.readline())
        pids = Session(leader).members()
        assert len(pids) == 2
        assert {status(pid) for pid in pids} == {psutil.STATUS_STOPPED}
        stage.kill()

    async def all_ended() -> None:
        await until(lambda: all(map(ended, pids)))

    asyncio.run(all_ended())


def test_an_unknown_function(tmp_path: Path) -> None:
    async def play() -> None:
        async with running(tmp_path) as stage:
            with pytest.raises(FunctionNotFoundError, match="fable"):
                stage.service.function("fable")

    asyncio.run(play())


def test_an_environment_can_be_stopped_before_it_has_started(tmp_path: Path) -> None:
    config = FunctionConfig(handler="tale.handler", task_root=tmp_path)

    async def play() -> None:
        environment = Environment(
            "tale/1",
            function="tale",
            config=config,
            settings=load_settings(),
            emulator=Path("/bin/false"),
            log=lambda name, line: None,
        )
        assert environment.pid is None
        await environment.stop()
        assert environment.state is EnvironmentState.COLD

    asyncio.run(play())
