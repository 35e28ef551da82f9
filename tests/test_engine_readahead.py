"""Reading ahead: all bytes, even pace, errors kept until someone waits; and nothing heavy imported."""

import subprocess
import sys
from pathlib import Path

import pytest

from lambda_image.engine.bundle import readahead
from lambda_image.engine.bundle.readahead import ReadAhead


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "weights.bin"
    path.write_bytes(bytes(1_000_000))
    return path


def test_reads_everything(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readahead, "CHUNK", 300_000)
    reading = ReadAhead(path)
    assert (reading.loaded_bytes, reading.total_bytes) == (0, 1_000_000)
    reading.start()
    reading.wait()
    assert reading.loaded_bytes == 1_000_000


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
