"""What a listener of a cold light function waits for: `python -m bench.light`.

CPU milliseconds until everything for the first line is imported (what is imported at its first use, too) and
until the handler has posted that line, in fresh processes; then the milliseconds that the FAQ takes to load,
which is after the line. Nothing leaves the process (tests/light_child.py), so that only our side is measured.
The last line is one JSON document.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.common import CACHE, REPOSITORY, Spread, finish, show, spread
from prologue.compiled import compile_world
from prologue.faq.index import ensure_index
from prologue.world import WORLDS, load_world

RUNS = 9
FIGURES = ("import_cpu_ms", "first_line_cpu_ms", "faq_load_ms")
TARGET_MS = 300.0


def main() -> None:
    cache_dir = CACHE / "faq"
    ensure_index(cache_dir, load_world(WORLDS / "emerald-city"))
    with TemporaryDirectory() as worlds:
        compile_world(
            WORLDS / "emerald-city", Path(worlds)
        )  # as in the image, and so is our code after one run
        later = _run(str(cache_dir), worlds)["imported_later"]
        runs = [_run(str(cache_dir), worlds, *later) for _ in range(RUNS)]
    figures: dict[str, Spread] = {name: spread((run[name] for run in runs), 1) for name in FIGURES}
    for name, figure in figures.items():
        show(name, figure, "ms")
    document: dict[str, object] = {
        "runs": RUNS,
        "target_ms": TARGET_MS,
        "met": figures["import_cpu_ms"]["median"] < TARGET_MS,
    }
    finish("light", {**document, **figures})


def _run(cache_dir: str, worlds_dir: str, *modules: str) -> dict[str, Any]:
    """What one fresh process measured that imported `modules` after the handler."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.light_child", cache_dir, worlds_dir, *modules],
        cwd=REPOSITORY,
        env={name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
        capture_output=True,
        text=True,
        check=True,
    )
    document: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return document


if __name__ == "__main__":
    main()
