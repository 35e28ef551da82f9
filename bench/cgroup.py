"""Limits around a child process, by cgroup version 1: memory with page cache, CPU quota, speed of the disk.

Needs root and the controllers mounted where Linux has them by default. `Cgroup.available` tells.
"""

import contextlib
import os
import time
from pathlib import Path
from typing import Literal, Self

ROOT = Path("/sys/fs/cgroup")
PERIOD_US = 100_000  # of a CPU quota: the kernel's default, and short against what a listener notices

Controller = Literal["memory", "cpu", "blkio"]


class Cgroup:
    """A group of one controller. A context manager, which removes it when its processes have ended."""

    def __init__(self, controller: Controller, name: str) -> None:
        self._folder = ROOT / controller / f"curtain-bench-{name}-{os.getpid()}"

    @staticmethod
    def available(controller: Controller) -> bool:
        """Whether groups can be made here."""
        return os.access(ROOT / controller / "cgroup.procs", os.W_OK)

    def __enter__(self) -> Self:
        self._folder.mkdir()
        return self

    def __exit__(self, *_: object) -> None:
        for _try in range(50):  # ended processes leave the group a little later
            with contextlib.suppress(OSError):
                self._folder.rmdir()
                return
            time.sleep(0.1)

    @property
    def procs(self) -> str:
        """Where a process writes its id to enter the group."""
        return str(self._folder / "cgroup.procs")

    def set(self, key: str, value: str | int) -> None:
        (self._folder / key).write_text(str(value), encoding="utf-8")

    def get(self, key: str) -> str:
        return (self._folder / key).read_text(encoding="utf-8").strip()

    def limit_cpus(self, cpus: float) -> None:
        """At most so many CPU seconds per second."""
        self.set("cpu.cfs_period_us", PERIOD_US)
        self.set("cpu.cfs_quota_us", round(cpus * PERIOD_US))

    def limit_reads(self, path: Path, bytes_per_second: int) -> None:
        """Slows reading from the disk that `path` lies on."""
        device = path.stat().st_dev
        self.set(
            "blkio.throttle.read_bps_device", f"{os.major(device)}:{os.minor(device)} {bytes_per_second}"
        )
