"""What a cold light function has imported when the first line is posted, in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.light import main
from local.supplies import FAQ
from prologue.compiled import compile_world
from prologue.faq.index import ensure_index
from prologue.world import WORLDS, load_world

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def faq_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cache") / "faq"
    ensure_index(folder, load_world(WORLDS / "emerald-city"), vectors_dir=FAQ)
    return folder


def greet(faq_dir: Path, worlds_dir: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.light_child", str(faq_dir), str(worlds_dir)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    document: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return document


@pytest.fixture(scope="module")
def greeting(faq_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """As in the image, where the worlds are compiled."""
    worlds = tmp_path_factory.mktemp("worlds")
    compile_world(WORLDS / "emerald-city", worlds)
    return greet(faq_dir, worlds)


def test_the_first_line_needs_nothing_heavy(greeting: dict[str, Any]) -> None:
    assert greeting["loaded_by_first_line"] == []
    assert greeting["posted"].index("prologue.line") <= greeting["posted"].index("prologue.question")


def test_little_is_imported_only_when_it_is_used(greeting: dict[str, Any]) -> None:
    """The bench imports that beforehand, and so counts it too."""
    packages = {name.partition(".")[0] for name in greeting["imported_later"]}
    assert packages == {"aws_lambda_powertools", "pydantic"}


def test_nothing_is_imported_that_no_first_line_needs(greeting: dict[str, Any]) -> None:
    unneeded = {"boto3", "jinja2", "jwt", "s3transfer", "yaml"}
    assert unneeded.isdisjoint(greeting["modules_at_first_line"])


def test_the_faq_loads_in_the_same_invocation_after_everything_was_posted(greeting: dict[str, Any]) -> None:
    assert greeting["loaded_by_last_post"] == []
    assert {"faiss", "numpy", "onnxruntime", "tokenizers"} <= set(greeting["loaded_at_return"])
    assert "torch" not in greeting["loaded_at_return"]


def test_neither_a_missing_faq_nor_a_world_in_yaml_keeps_a_line_back(
    tmp_path: Path, greeting: dict[str, Any]
) -> None:
    assert greet(tmp_path, WORLDS)["posted"] == greeting["posted"]


def test_the_bench_reports_what_the_process_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], faq_dir: Path
) -> None:
    figures = {"imported_later": ["late"], "first_line_cpu_ms": 500.0, "faq_load_ms": 9.0}
    runs = iter([(), ("late",), ("late",), ("late",)])
    measured = iter([999.0, 310.0, 250.0, 299.0])

    def run(_: str, worlds: str, *modules: str) -> dict[str, Any]:
        assert (Path(worlds) / "emerald-city" / "world.json").is_file()
        assert modules == next(runs)
        return {**figures, "import_cpu_ms": next(measured)}

    monkeypatch.setattr("bench.light.RUNS", 3)
    monkeypatch.setattr("bench.light._run", run)
    monkeypatch.setattr("bench.light.CACHE", faq_dir.parent)
    main()
    document = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert document["bench"] == "light"
    assert document["import_cpu_ms"] == {"median": 299.0, "min": 250.0, "max": 310.0}
    assert document["met"] is True
