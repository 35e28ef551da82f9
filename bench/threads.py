"""Threads and waiting awake under Lambda's CPU quota: `python -m bench.threads --shape llama3.2-1b`.

10,240 MB are 5.79 CPU seconds a second on 6 cores (aws-facts). The same share of this machine's cores is
given to one process by a quota (cgroup version 1, as root), which decodes with one thread fewer than cores,
as many, and one more, and with idle threads that wait awake for a while or sleep at once. Who uses up the
quota stands still until the next period: the longest gaps between tokens show it. The last line is one JSON
document.
"""

import itertools
import os
import sys
from contextlib import ExitStack
from typing import Annotated, Any

import typer

from bench.cgroup import PERIOD_US, Cgroup
from bench.common import finish, percentile, spread
from bench.lines import Child
from bench.random_bundle import random_bundle

SHARE = 5.79 / 6  # of the cores, Lambda's quota at 10,240 MB
SPIN_US = (0, 50, 200, 1000)
CONTEXT = 128  # tokens


def main(
    shape: Annotated[str, typer.Option(help="A catalog name: random weights of its shape.")] = "llama3.2-1b",
    runs: Annotated[int, typer.Option(min=5, help="Interleaved runs of every setting.")] = 5,
    decoded: Annotated[int, typer.Option(min=8, help="Tokens of a run.")] = 48,
    cores: Annotated[int, typer.Option(min=2)] = max(os.cpu_count() or 2, 2),
) -> None:
    """Gaps between tokens by threads and spinning."""
    if not Cgroup.available("cpu"):
        raise typer.BadParameter("a CPU quota needs root and cgroup version 1's cpu controller")
    bundle = random_bundle(shape)
    settings = list(itertools.product((cores - 1, cores, cores + 1), SPIN_US))
    gaps: dict[tuple[int, int], list[float]] = {setting: [] for setting in settings}
    rates: dict[tuple[int, int], list[float]] = {setting: [] for setting in settings}
    throttled = dict.fromkeys(settings, 0)
    with ExitStack() as stack:
        group = stack.enter_context(Cgroup("cpu", "quota"))
        group.limit_cpus(SHARE * cores)
        children = {}
        for threads, spin_us in settings:
            child = stack.enter_context(Child([sys.executable, "-m", "bench.curtain_child"]))
            child.ask("enter", group=group.procs)
            child.ask(
                "open",
                bundle=str(bundle),
                kernels="native",
                threads=threads,
                spin_us=spin_us,
                capacity=CONTEXT + decoded,
            )
            child.ask("fill", tokens=CONTEXT)
            child.ask("decode", ids=[1, 2])
            children[threads, spin_us] = child
        for run in range(runs):
            for setting in settings if run % 2 else settings[::-1]:
                children[setting].ask("rewind", tokens=CONTEXT)
                before = _throttled(group)
                seconds = children[setting].ask("decode", ids=[3] * decoded)
                throttled[setting] += _throttled(group) - before
                gaps[setting] += seconds
                rates[setting].append(decoded / sum(seconds))
    found: list[dict[str, Any]] = []
    for (threads, spin_us), seconds in gaps.items():
        milliseconds = [1e3 * gap for gap in seconds]
        found.append(
            {
                "threads": threads,
                "spin_us": spin_us,
                "tokens_per_s": spread(rates[threads, spin_us]),
                "gap_ms": spread(milliseconds) | {"p99": round(percentile(milliseconds, 0.99), 3)},
                "throttled_periods": throttled[threads, spin_us],
            }
        )
        print(f"{threads} threads, {spin_us} us awake: {found[-1]['gap_ms']}  {found[-1]['tokens_per_s']}")
    best = min(found, key=lambda setting: float(setting["gap_ms"]["median"]))
    finish(
        "threads",
        {
            "shape": shape,
            "quota_cpus": round(SHARE * cores, 3),
            "period_us": PERIOD_US,
            "runs": runs,
            "settings": found,
            "fastest": {key: best[key] for key in ("threads", "spin_us")},
        },
    )


def _throttled(group: Cgroup) -> int:
    """Periods in which the quota was used up."""
    return int(dict(line.split() for line in group.get("cpu.stat").splitlines())["nr_throttled"])


if __name__ == "__main__":
    typer.run(main)
