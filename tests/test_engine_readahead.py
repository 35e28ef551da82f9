"""Reading ahead: all bytes, even pace, errors kept until someone waits; and nothing heavy imported."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from bench.pagecache import resident_bytes
from lambda_image.engine.bundle import readahead
from lambda_image.engine.bundle.readahead import ReadAhead
from lambda_image.engine.errors import EngineError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "weights.bin"
    path.write_bytes(bytes(1_000_000))
    return path


@pytest.fixture
def no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    def load() -> None:
        raise EngineError("there is none")

    monkeypatch.setattr(readahead, "load", load)


def read_everything(path: Path) -> None:
    reading = ReadAhead(path)
    assert reading.loaded_bytes == 0
    reading.start()
    assert reading.total_bytes == 1_000_000
    reading.wait()
    assert reading.loaded_bytes == 1_000_000
    assert reading.seconds > 0


def test_reads_everything(path: Path) -> None:
    read_everything(path)


@pytest.mark.usefixtures("no_library")
def test_reads_everything_without_the_native_library(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readahead, "FIRST", 300_000)
    read_everything(path)


@pytest.mark.parametrize("size", [(8 << 20) - 1, 8 << 20, (8 << 20) + 1])
def test_what_was_read_is_in_the_page_cache(size: int) -> None:
    with tempfile.NamedTemporaryFile(dir=Path(__file__).parent) as file:  # on a disk, which /tmp may not be
        path = Path(file.name)
        path.write_bytes(bytes(size))
        os.sync()
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        assert resident_bytes(path) < 1 << 20
        reading = ReadAhead(path)
        reading.start()
        reading.wait()
        assert reading.loaded_bytes == size
        assert resident_bytes(path) >= size


class Disk:
    """A file on a disk of a given speed, with the clock that it moves on. Notes how large the steps are."""

    def __init__(self, size: int, rate: float) -> None:
        self.left, self.rate, self.now = size, rate, 0.0
        self.steps: list[int] = []

    def open(self, mode: str, *, buffering: int) -> "Disk":
        assert (mode, buffering) == ("rb", 0)
        return self

    def stat(self) -> SimpleNamespace:
        return SimpleNamespace(st_size=self.left)

    def readinto(self, target: memoryview) -> int:
        count = min(len(target), self.left)
        self.left -= count
        self.now += count / self.rate
        self.steps.append(count)
        return count

    def __enter__(self) -> "Disk":
        return self

    def __exit__(self, *error: object) -> None: ...


def read_all(disk: Disk) -> list[float]:
    """Seconds of each step."""
    size = disk.left
    reading = ReadAhead(cast(Path, disk), clock=lambda: disk.now)
    reading.start()
    reading.wait()
    assert reading.loaded_bytes == size
    return [step / disk.rate for step in disk.steps]


@pytest.mark.usefixtures("no_library")
def test_a_fast_disk_is_read_in_few_steps() -> None:
    disk = Disk(700 << 20, rate=2e9)
    read_all(disk)
    assert len(disk.steps) < 20
    assert max(disk.steps) == 64 << 20


@pytest.mark.usefixtures("no_library")
@pytest.mark.parametrize("rate", [1e6, 10e6, 50e6, 200e6, 500e6])
def test_the_progress_of_a_slow_disk_is_seen(rate: float) -> None:
    seconds = read_all(Disk(200 << 20, rate))
    assert max(seconds[7:]) < 0.2


def test_a_reading_that_failed_can_be_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "weights.bin"
    reading = ReadAhead(path)
    reading.start()
    with pytest.raises(FileNotFoundError):
        reading.wait()
    path.write_bytes(bytes(1000))
    reading.retry()
    reading.wait()
    assert (reading.loaded_bytes, reading.total_bytes) == (1000, 1000)
    path.unlink()
    reading.retry()  # it has been read: nothing to do
    reading.wait()


def test_pace_is_even(path: Path) -> None:
    sleeps: list[float] = []
    progress: list[int] = []

    def sleep(seconds: float) -> None:
        sleeps.append(seconds)
        progress.append(reading.loaded_bytes)

    reading = ReadAhead(path, min_seconds=600, sleep=sleep)
    reading.start()
    reading.wait()
    assert len(sleeps) >= 20 * 600
    assert sum(sleeps) == pytest.approx(600, rel=0.05)
    assert max(sleeps) <= 0.05
    assert progress == sorted(set(progress))
    assert reading.loaded_bytes == 1_000_000


def test_nothing_sleeps_without_a_pace(path: Path) -> None:
    sleeps: list[float] = []
    reading = ReadAhead(path, sleep=sleeps.append)
    reading.start()
    reading.wait()
    assert sum(sleeps) == 0


def test_an_empty_file_is_read_at_once(tmp_path: Path) -> None:
    (tmp_path / "weights.bin").touch()
    reading = ReadAhead(tmp_path / "weights.bin", min_seconds=1000)
    reading.start()
    reading.wait()
    assert reading.loaded_bytes == reading.total_bytes == 0


def test_a_missing_file_raises_only_when_waited_for(tmp_path: Path) -> None:
    reading = ReadAhead(tmp_path / "nothing")
    reading.start()
    with pytest.raises(FileNotFoundError):
        reading.wait()


def test_an_error_while_reading_is_kept(tmp_path: Path) -> None:
    reading = ReadAhead(tmp_path)  # a folder has a size, but can't be opened
    reading.start()
    with pytest.raises(IsADirectoryError):
        reading.wait()


def test_imports_nothing_heavy() -> None:
    program = (
        "import sys; import lambda_image.engine.bundle.readahead; "
        "assert not {'torch', 'numpy', 'pydantic', 'tokenizers'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-S", "-c", program], check=True, cwd=Path(__file__).parents[1])
