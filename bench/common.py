"""What every bench shares: spreads, ratios of pairs, the machine, the last line of stdout."""

import json
import os
import platform
import resource
import statistics
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent
CACHE = REPOSITORY / ".cache" / "bench"  # bundles of random weights, and the same for llama.cpp

BUSY = 0.05  # of all cores, taken by others: more, and the figures are theirs too

# What decides the speed of integer dot products: named in every document.
FEATURES = ("avx2", "avx512bw", "avx512_vnni", "avx_vnni", "asimddp", "i8mm", "sve")

Spread = dict[str, float]


def _busy_s() -> tuple[float, float]:
    """CPU seconds that the machine has spent since it started, and those that its host took away."""
    try:
        line = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0]
    except OSError:  # not Linux
        return 0.0, 0.0
    user, nice, system, _, _, interrupts, soft, steal = (int(field) for field in line.split()[1:9])
    ticks = os.sysconf("SC_CLK_TCK")
    return (user + nice + system + interrupts + soft) / ticks, steal / ticks


_BEGAN, _BUSY = time.monotonic(), _busy_s()


def spread(values: Iterable[float], digits: int = 3) -> Spread:
    """Median and range, rounded to so many digits after the point."""
    found = sorted(values)
    figures = {"median": statistics.median(found), "min": found[0], "max": found[-1]}
    return {name: round(value, digits) for name, value in figures.items()}


def paired(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """ours / theirs of each pair, measured one right after the other: what slows both cancels out."""
    return [a / b for a, b in zip(ours, theirs, strict=True)]


def percentile(values: Iterable[float], share: float) -> float:
    """The nearest-rank percentile: the smallest value that at least `share` of all don't exceed."""
    found = sorted(values)
    return found[max(-int(-share * len(found) // 1) - 1, 0)]


def show(name: str, figures: Spread, unit: str) -> None:
    print(f"{name:42} {figures['median']:10.3f} {unit:10} {figures['min']:.3f} to {figures['max']:.3f}")


def machine() -> dict[str, object]:
    """Where it ran, and how busy others kept it: figures from a busy machine are not worth quoting.

    Children must have ended, for their work is not counted as others'.
    """
    own = sum(
        used.ru_utime + used.ru_stime
        for used in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )
    busy, stolen = (after - before for after, before in zip(_busy_s(), _BUSY, strict=True))
    there = (time.monotonic() - _BEGAN) * (os.cpu_count() or 1)
    return {
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpu": _cpuinfo("model name", "CPU part") or platform.processor(),
        "features": [name for name in FEATURES if name in _cpuinfo("flags", "Features").split()],
        "cores": os.cpu_count(),
        "memory_mb": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20,
        "python": platform.python_version(),
        "cpu_share_of_others": round(max(busy - own, 0.0) / there, 3),
        "cpu_share_stolen": round(stolen / there, 3),
    }


def finish(bench: str, document: dict[str, object]) -> None:
    """Prints the document as the last line, and before it a warning if others kept the machine busy."""
    where = machine()
    others = float(str(where["cpu_share_of_others"]))
    if others > BUSY:
        print(f"BUSY MACHINE: others took {others:.0%} of it, measure again when it is quiet")
    print(json.dumps({"bench": bench, "machine": where} | document))


def _cpuinfo(*keys: str) -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return ""
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(keys)), "")
