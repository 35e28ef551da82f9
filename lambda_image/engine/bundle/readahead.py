"""Reads a file once, in order, beside other work, so that its pages are in memory when they are mapped.

Standard library only, nothing heavy: a function starts it before it imports anything else. The reading thread
holds no lock while it reads.
"""

import threading
import time
from collections.abc import Callable
from pathlib import Path

CHUNK = 4 << 20  # bytes: long sequential reads, still many progress steps in a large file
STEPS_PER_SECOND = 20  # a stretched reading advances at least this often


class ReadAhead:
    """A background reading of `path`.

    `loaded_bytes` grows to `total_bytes`. `min_seconds` stretches the reading evenly: a slow disk with the
    real bytes. Nothing raises before `wait`.
    """

    def __init__(
        self, path: Path, *, min_seconds: float = 0.0, sleep: Callable[[float], object] = time.sleep
    ) -> None:
        self.loaded_bytes = 0
        self.total_bytes = 0
        self._path = path
        self._min_seconds = min_seconds
        self._sleep = sleep
        self._error: OSError | None = None
        self._thread = threading.Thread(target=self._run, name="readahead", daemon=True)
        try:
            self.total_bytes = path.stat().st_size
        except OSError as error:
            self._error = error

    def start(self) -> None:
        """Begins reading."""
        self._thread.start()

    def wait(self) -> None:
        """Blocks until the file is read; raises the OSError that stopped the reading."""
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        if self._error is not None:
            return
        try:
            self._read()
        except OSError as error:
            self._error = error

    def _read(self) -> None:
        chunk = CHUNK
        pace = self._min_seconds / max(self.total_bytes, 1)  # seconds per byte
        if pace:
            chunk = min(chunk, max(int(1 / (pace * STEPS_PER_SECOND)), 1))
        scratch = memoryview(bytearray(chunk))
        with self._path.open("rb", buffering=0) as file:
            while True:
                began = time.monotonic()
                count = file.readinto(scratch)
                if not count:
                    return
                # Paced step by step, so that time spent frozen doesn't count as reading.
                self._sleep(max(count * pace - (time.monotonic() - began), 0))
                self.loaded_bytes += count
