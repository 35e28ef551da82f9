"""What a listener of a cold light function waits for: `python -m bench.light`.

CPU milliseconds until everything for the first line is imported, and until the handler has posted that line,
in fresh processes; then the milliseconds that the FAQ takes to load, which is after the line. Nothing leaves
the process (tests/light_child.py), so that only our side is measured. The last line is one JSON document.
"""

import json
import subprocess
import sys

from bench.common import CACHE, REPOSITORY, Spread, finish, show, spread
from prologue.faq.index import ensure_index
from prologue.world import WORLDS, load_world

RUNS = 7
TARGET_MS = 300.0


def main() -> None:
    cache_dir = CACHE / "faq"
    ensure_index(cache_dir, load_world(WORLDS / "emerald-city"))
    runs = [_run(str(cache_dir)) for _ in range(RUNS)]
    figures: dict[str, Spread] = {name: spread((run[name] for run in runs), 1) for name in runs[0]}
    for name, figure in figures.items():
        show(name, figure, "ms")
    document: dict[str, object] = {
        "runs": RUNS,
        "target_ms": TARGET_MS,
        "met": figures["import_cpu_ms"]["median"] < TARGET_MS,
    }
    finish("light", {**document, **figures})


def _run(cache_dir: str) -> dict[str, float]:
    """The figures of one fresh process."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.light_child", cache_dir],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    document = json.loads(done.stdout.splitlines()[-1])
    return {name: document[name] for name in ("import_cpu_ms", "first_line_cpu_ms", "faq_load_ms")}


if __name__ == "__main__":
    main()
