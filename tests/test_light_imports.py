"""What a cold light function has imported when the first line is posted, in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.light import main
from prologue.faq.index import ensure_index
from prologue.world import WORLDS, load_world

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def faq_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faq")
    ensure_index(folder, load_world(WORLDS / "emerald-city"))
    return folder


@pytest.fixture(scope="module")
def greeting(faq_dir: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.light_child", str(faq_dir)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    document: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return document


def test_the_first_line_needs_nothing_heavy(greeting: dict[str, Any]) -> None:
    assert greeting["loaded_by_first_line"] == []
    assert greeting["posted"].index("prologue.line") <= greeting["posted"].index("prologue.question")


def test_the_faq_loads_in_the_same_invocation_after_everything_was_posted(greeting: dict[str, Any]) -> None:
    assert greeting["loaded_by_last_post"] == []
    assert {"faiss", "numpy", "onnxruntime", "tokenizers"} <= set(greeting["loaded_at_return"])
    assert "torch" not in greeting["loaded_at_return"]


def test_an_faq_that_was_not_built_keeps_no_line_back(tmp_path: Path, greeting: dict[str, Any]) -> None:
    command = [sys.executable, "-m", "tests.light_child", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1])["posted"] == greeting["posted"]


def test_the_bench_reports_what_the_process_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], faq_dir: Path
) -> None:
    figures = iter(
        [
            {"import_cpu_ms": ms, "first_line_cpu_ms": 500.0, "faq_load_ms": 9.0}
            for ms in (310.0, 250.0, 299.0)
        ]
    )
    monkeypatch.setattr("bench.light.RUNS", 3)
    monkeypatch.setattr("bench.light._run", lambda _: next(figures))
    monkeypatch.setattr("bench.light.CACHE", faq_dir)
    main()
    document = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert document["bench"] == "light"
    assert document["import_cpu_ms"] == {"median": 299.0, "min": 250.0, "max": 310.0}
    assert document["met"] is True
