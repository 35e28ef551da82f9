"""The CPU that this process runs on, as the system describes it."""

import functools
import logging
import os
import platform
import re
from pathlib import Path
from typing import Any

CPU_FEATURES = {"f16c", "fma", "avx2", "avx512f", "avx512bw", "avx512_vnni", "asimddp", "i8mm", "sve"}

log = logging.getLogger(__name__)


@functools.cache
def cpu() -> dict[str, Any]:
    """`name` and `features` of the CPU, as /proc/cpuinfo has them; arm64's name is implementer and part."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    fields = dict(re.findall(r"^([^\t:]+?)\s*: (.*)$", text, re.MULTILINE))
    part = (
        f"implementer {fields.get('CPU implementer', '?')} part {fields['CPU part']}"
        if "CPU part" in fields
        else ""
    )
    name = fields.get("model name") or part or platform.processor() or platform.machine()
    present = set((fields.get("flags") or fields.get("Features") or "").split())
    return {"name": name, "features": sorted(present & CPU_FEATURES)}


def default_threads(weights: int) -> int:
    """As many as the CPUs that this process may use, its cgroup's quota rounded up; 1 if the model has under
    2 ** 26 weights, where waiting for each other costs more than it brings."""
    if weights < 1 << 26:
        return 1
    everywhere = os.cpu_count() or 1
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else everywhere
    return max(1, min(cpus, _quota() or cpus))


def _quota() -> int | None:
    """CPUs of the cgroup's quota, rounded up; None without one."""
    try:
        limits = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
    except OSError:
        try:
            folder = Path("/sys/fs/cgroup/cpu")
            limits = [
                (folder / f"cpu.cfs_{name}_us").read_text(encoding="ascii").strip()
                for name in ("quota", "period")
            ]
        except OSError:
            return None
    try:
        quota, period = (int(limit) for limit in limits)
    except ValueError:  # "max", or nothing that makes sense
        return None
    return -(-quota // period) if quota > 0 and period > 0 else None


def describe(isa: str, threads: int) -> dict[str, Any]:
    """For `about`: instruction set, threads, CPU and its features. Logs them too."""
    log_kernels(f"native/{isa}", threads)
    return {"isa": isa, "threads": threads, "cpu": cpu()["name"], "features": cpu()["features"]}


@functools.cache
def log_kernels(kernels: str, threads: int) -> None:
    """Says what computes here, once for each in a process."""
    name, features = cpu()["name"], " ".join(cpu()["features"])
    log.info("kernels %s, %d threads, %s (%s)", kernels, threads, name, features)
