"""The model function's cold start: what its import does, when its progress is told, a second attempt."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lambda_image import direct
from lambda_image.engine.bundle.load import open_bundle
from lambda_image.engine.bundle.readahead import ReadAhead
from lambda_image.engine.convert.finish import finish_bundle
from lambda_image.engine.convert.write import write_bundle
from lambda_image.engine.engine import Engine
from lambda_image.service import make_model
from lambda_image.tasks import Task, Threads
from lambda_image.waking import LoadError, SleepingModel
from session.limits import limits
from tests.checkpoints import write_checkpoint
from tests.theatre import Parrot, Weights


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("waking")
    write_bundle(write_checkpoint(folder / "oz"), folder / "bundle", finish=finish_bundle([]))
    return folder / "bundle"


@pytest.fixture
def bundle(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "bundle"))


class Loading(Threads):
    """A task that loads until it was waited for ten times, with the clock that the waiting moves on."""

    def __init__(self) -> None:
        self.now = 100.0
        self.waits: list[float] = []
        self.work: Callable[[], None] = lambda: None

    def monotonic(self) -> float:
        return self.now

    def spawn(self, name: str, work: Callable[[], None]) -> Task:
        self.work = work
        return self

    def join(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.waits.append(timeout)
        self.now += timeout
        if len(self.waits) < 10:
            return False
        self.work()
        return True


def test_progress_is_told_on_schedule_however_long_the_telling_takes() -> None:
    loading, told = Loading(), list[float]()
    model = SleepingModel(Parrot, Weights(), 90.0, tasks=loading)
    for number, _ in enumerate(model.wake(0.4)):
        told.append(round(loading.now - 100, 6))
        loading.now += 1.0 if number == 5 else 0.15  # posting one of them takes long
    assert told == [0.0, 0.4, 0.8, 1.2, 1.6, 2.0, 3.0, 3.4, 3.8, 4.2]
    assert min(loading.waits) == 0
    assert model.narrator is not None
    assert model.measured
    assert model.cold_start_s == pytest.approx(10 + 4.2 + 0.4)  # its process began before


def test_a_start_that_was_abandoned_is_waited_for_and_not_measured() -> None:
    loading = Loading()
    model = SleepingModel(Parrot, Weights(), 90.0, tasks=loading)
    next(model.wake(0.4))
    for _ in model.wake(0.4):
        pass
    assert model.narrator is not None
    assert not model.measured


def test_a_load_that_failed_is_tried_again_and_measured_from_there() -> None:
    loading, attempts = Loading(), iter([OSError("no weights")])

    def load() -> Parrot:
        for failure in attempts:
            raise failure
        return Parrot()

    model = SleepingModel(load, Weights(), 0.0, tasks=loading)
    with pytest.raises(LoadError, match="no weights"):
        list(model.wake(0.4))
    loading.waits.clear()
    loading.now += 3600  # frozen between two invocations
    assert len(list(model.wake(0.4))) == 10
    assert model.cold_start_s == pytest.approx(4.0)
    assert model.init_s == 0


def test_reports_are_never_half_a_second_apart() -> None:
    assert limits().progress_s < 0.5


IMPORTED = """
import json, sys
from lambda_image import handler
handler.READAHEAD.wait()
heavy = {"numpy", "pydantic", "jinja2", "boto3", "torch", "lambda_image.engine.engine"}
size = handler.TOKENIZER and handler.TOKENIZER.get_vocab_size()
print(json.dumps([size, handler.READAHEAD.loaded_bytes, sorted(heavy & set(sys.modules))]))
"""


def imported(bundle: Path) -> list[object]:
    """What importing the handler has done: vocabulary, bytes read, heavy modules."""
    environment = os.environ | {"BUNDLE_DIR": str(bundle)}
    root = Path(__file__).parents[1]
    command = [sys.executable, "-c", IMPORTED]
    found = subprocess.run(command, check=True, cwd=root, env=environment, capture_output=True)
    return list(json.loads(found.stdout))


def test_init_reads_the_weights_and_parses_the_tokenizer_and_nothing_else(bundle: Path) -> None:
    vocabulary, read, heavy = imported(bundle)
    assert vocabulary == open_bundle(bundle).manifest.config.vocab_size
    assert read == (bundle / "weights.bin").stat().st_size
    assert heavy == []


@pytest.mark.parametrize("damage", ["missing", "not JSON"])
def test_a_bad_tokenizer_does_not_kill_init(bundle: Path, damage: str) -> None:
    (bundle / "tokenizer.json").unlink()
    if damage != "missing":
        (bundle / "tokenizer.json").write_text("{")
    assert imported(bundle)[0] is None


def test_what_was_parsed_before_is_used(bundle: Path) -> None:
    from tokenizers import Tokenizer

    path = bundle / "tokenizer.json"
    parsed = Tokenizer.from_file(str(path))
    plain, given = Engine.load(bundle), Engine.load(bundle, tokenizer=parsed)
    messages = [{"role": "user", "content": "I knock at the gate."}]
    first, second = (
        "".join(piece.text for piece in engine.reply(messages, seed=1, max_tokens=20))
        for engine in (plain, given)
    )
    assert first == second
    assert given._tokenizer._tokenizer is parsed


def test_weights_that_come_late_are_read_by_the_next_attempt(bundle: Path) -> None:
    away = (bundle / "weights.bin").rename(bundle / "away")
    reading = ReadAhead(bundle / "weights.bin")
    reading.start()
    model = make_model(bundle, reading, started=0.0)
    with pytest.raises(LoadError, match=r"weights\.bin"):
        direct.about(model)
    away.rename(bundle / "weights.bin")
    assert direct.about(model)["load_s"]
    assert reading.loaded_bytes == reading.total_bytes > 0
