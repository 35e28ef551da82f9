"""Environments that Lambda keeps provisioned: their model is loaded before anybody asks, at nobody's expense.

The real handler under Lambda's own runtime client and emulator, with a small model.
"""

import asyncio
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from types import SimpleNamespace

import pytest

from lambda_image import service
from lambda_image.engine.convert.finish import finish_bundle
from lambda_image.engine.convert.write import write_bundle
from lambda_image.meter import INIT_S
from lambda_image.waking import SleepingModel
from local.lambda_service.config import REPOSITORY
from session.inputs import Skipped
from tests.checkpoints import write_checkpoint
from tests.lambda_service_stage import Stage, running
from tests.test_caps import Watch, stack_seconds
from tests.theatre import Parrot, Theatre, Weights

AWAKE, ASLEEP = "awake before anybody asked", "nothing is awake in this provisioned environment"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    write_bundle(write_checkpoint(tmp_path / "oz"), tmp_path / "bundle", finish=finish_bundle([]))
    return tmp_path / "bundle"


def deployed(bundle: Path, init: str) -> AbstractAsyncContextManager[Stage]:
    """The model function, as Lambda starts it by this initialization type."""
    told = {
        "AWS_LAMBDA_INITIALIZATION_TYPE": init,
        "POWERTOOLS_SERVICE_NAME": "curtain-test",
        "BUNDLE_DIR": str(bundle),
        "TABLE_NAME": "curtain",
        "CALLBACK_URL": "https://gateway.invalid/prod",
        "MODEL_NAME": "demo",
    }
    return running(
        bundle.parent, handler="lambda_image.handler.lambda_handler", task_root=REPOSITORY, env=told
    )


def said(stage: Stage, text: str) -> list[str]:
    return [line for _, line in stage.lines if text in line]


@pytest.mark.parametrize(("init", "awake"), [("on-demand", False), ("provisioned-concurrency", True)])
def test_the_model_is_loaded_by_init_only_where_it_is_provisioned(
    bundle: Path, init: str, awake: bool
) -> None:
    async def play() -> None:
        async with deployed(bundle, init) as stage:
            assert (await stage.invoke(kind="about"))["awake"] is awake
            about = await stage.invoke(kind="about")
            assert about["awake"] is True
            assert about["memory_limit_mb"] == stage.function.config.memory_mb
            assert len(said(stage, AWAKE)) == awake
            assert said(stage, ASLEEP) == []

    asyncio.run(play())


def test_a_model_that_init_could_not_load_is_loaded_by_an_invocation(bundle: Path) -> None:
    away = (bundle / "weights.bin").rename(bundle / "away")

    async def play() -> None:
        async with deployed(bundle, "provisioned-concurrency") as stage:
            refused = await stage.raw(kind="about")
            assert refused.failed
            assert b"LoadError" in refused.payload
            (loud,) = said(stage, ASLEEP)
            assert '"level":"ERROR"' in loud
            assert "weights.bin" in loud  # why
            away.rename(bundle / "weights.bin")
            assert (await stage.invoke(kind="about"))["awake"] is False
            assert len({name for name, _ in stage.lines}) == 1  # in the same environment

    asyncio.run(play())


@pytest.mark.parametrize(("provisioned", "booked"), [(True, 0.0), (False, INIT_S)])
def test_no_session_answers_for_an_init_that_was_announced(
    monkeypatch: pytest.MonkeyPatch, provisioned: bool, booked: float
) -> None:
    theatre, watch = Theatre(), Watch(10_000.0)
    monkeypatch.setattr(service, "Threads", lambda: watch)
    monkeypatch.setattr(service, "time", SimpleNamespace(time=theatre.clock))
    monkeypatch.setattr(
        service, "Clients", lambda settings: SimpleNamespace(store=theatre.store, poster=theatre.poster)
    )
    told = {"TABLE_NAME": "t", "CALLBACK_URL": "https://g/prod", "MODEL_NAME": "demo"}
    for name, value in (told | {"MODEL_SECONDS_PER_DAY": "1000"}).items():
        monkeypatch.setenv(name, value)
    model = SleepingModel(Parrot, Weights(), watch.now - 3600, tasks=watch)
    theatre.runner.apply("s", Skipped(question_id=None))
    serving = service.make_service(model, provisioned=provisioned)
    served = serving.serve("s", 1, holder="r", deadline=watch.now + 900, memory_mb=10_240)
    assert served["told"] == 1
    assert stack_seconds(theatre) == booked
