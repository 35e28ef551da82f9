"""How fast this machine reads a bundle's mapped bytes: no decoder that reads every weight per token is
faster.
"""

import ctypes
import hashlib
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from bench.common import CACHE

SOURCE = Path(__file__).with_name("roof.cpp")
AHEAD = (0, 256, 512, 1024, 2048, 4096)  # bytes of prefetch distance; which is best depends on the CPU
FLAGS = ("-std=c++17", "-O3", "-shared", "-fPIC", "-fno-sanitize=undefined")


class Roof:
    """Reads `weights` in turn with every prefetch distance; the best pass so far is the roof."""

    def __init__(self, weights: Path, threads: int) -> None:
        self._data = np.memmap(weights, np.uint8, "r")
        self._threads = threads
        self._read = ctypes.CDLL(str(_build())).roof_seconds
        self._read.restype = ctypes.c_double
        self._read.argtypes = (
            ctypes.c_void_p,
            ctypes.c_int64,
            ctypes.c_int32,
            ctypes.c_int64,
            ctypes.POINTER(ctypes.c_uint64),
        )
        self._best = dict.fromkeys(AHEAD, 0.0)
        self._pass(0)  # maps the pages

    def measure(self, passes: int = 3) -> float:
        """Bytes per second of the best of these passes."""
        found = 0.0
        for _ in range(passes):
            for ahead in AHEAD:
                rate = self._data.size / self._pass(ahead)
                self._best[ahead] = max(self._best[ahead], rate)
                found = max(found, rate)
        return found

    @property
    def best(self) -> float:
        """Bytes per second of the best pass of all."""
        return max(self._best.values())

    @property
    def by_prefetch(self) -> Mapping[str, float]:
        """GB/s of the best pass by prefetch distance in bytes."""
        return {str(ahead): round(rate / 1e9, 2) for ahead, rate in self._best.items()}

    def _pass(self, ahead: int) -> float:
        total = ctypes.c_uint64()
        seconds: float = self._read(
            self._data.ctypes.data, self._data.size, self._threads, ahead, ctypes.byref(total)
        )
        return seconds


def _build() -> Path:
    """The compiled `roof.cpp`, made anew when the source changed."""
    out = CACHE / f"roof-{hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:12]}.so"
    if not out.exists():
        out.parent.mkdir(parents=True, exist_ok=True)
        partial = out.with_suffix(".partial")
        command = [sys.executable, "-m", "ziglang", "c++", *FLAGS, "-o", str(partial), str(SOURCE)]
        subprocess.run(command, check=True)
        partial.rename(out)
    return out
