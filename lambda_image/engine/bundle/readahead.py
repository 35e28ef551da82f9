"""Reads a file once, in order, beside other work, so that its pages are in memory when they are mapped.

Standard library only, nothing heavy: a function starts it before it imports anything else. The native
library reads with threads of its own, which no busy import can hold up. Where it is missing, or the reading
is stretched, one thread reads step by step.
"""

import ctypes
import mmap
import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from lambda_image.engine.errors import EngineError
from lambda_image.engine.native.library import load

THREADS = 4  # of the native library: what one waits for, a disk with several queues gives to another

# Bytes of one step, without it. After each the thread must get the interpreter back, for which busy imports
# let it wait 5 ms: a fast disk is read in long steps, a slow one in short ones, between which the progress is
# seen.
SMALLEST, FIRST, LARGEST = 64 << 10, 4 << 20, 64 << 20
SHORT_S, LONG_S = 0.05, 0.15  # a shorter step is followed by one twice as large, a longer one by a half
STEPS_PER_SECOND = 20  # a stretched reading advances at least this often


class ReadAhead:
    """A background reading of `path`.

    `loaded_bytes` grows to `total_bytes`. `min_seconds` stretches the reading evenly: a slow disk with the
    real bytes. Nothing raises before `wait`.
    """

    def __init__(
        self,
        path: Path,
        *,
        min_seconds: float = 0.0,
        sleep: Callable[[float], object] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.total_bytes = 0
        self.seconds = 0.0  # that reading it all took; 0 until it has
        self.memory: Mapping[str, memoryview] = {}  # nothing: what is read ahead is mapped
        self._path = path
        self._min_seconds = min_seconds
        self._sleep = sleep
        self._clock = clock
        self._loaded = ctypes.c_int64()
        self._error: Exception | None = None
        self._thread: threading.Thread | None = None

    @property
    def loaded_bytes(self) -> int:
        """How many have been read."""
        return self._loaded.value

    def start(self) -> None:
        """Begins reading."""
        self._error, self._loaded.value = None, 0
        try:
            self.total_bytes = self._path.stat().st_size
        except OSError as error:
            self._error = error
            return
        read = (not self._min_seconds and self._native()) or self._read
        self._thread = threading.Thread(target=self._run, args=(read,), name="readahead", daemon=True)
        self._thread.start()

    def retry(self) -> None:
        """Begins again if the reading has failed."""
        if self._error is not None:
            self.start()

    def wait(self) -> None:
        """Blocks until the file is read; raises what stopped the reading, an OSError mostly."""
        if self._thread is not None:
            self._thread.join()
        if self._error is not None:
            raise self._error

    def _run(self, read: Callable[[], None]) -> None:
        try:
            began = self._clock()
            read()
            self.seconds = self._clock() - began
        except Exception as error:  # for whoever waits: a thread has nobody to tell
            self._error = error

    def _native(self) -> Callable[[], None] | None:
        """Reads with the native library's threads; None if it can't be had."""
        try:
            library = load()
        except EngineError:  # whoever needs its kernels will say so
            return None

        def read() -> None:
            loaded = ctypes.byref(self._loaded)
            error = library.curtain_read_ahead(os.fsencode(self._path), THREADS, loaded)
            if error:
                raise OSError(error, os.strerror(error), str(self._path))

        return read

    def _read(self) -> None:
        pace = self._min_seconds / max(self.total_bytes, 1)  # seconds per byte
        largest = min(LARGEST, max(int(1 / (pace * STEPS_PER_SECOND)), 1)) if pace else LARGEST
        step = min(FIRST, largest)
        with (
            self._path.open("rb", buffering=0) as file,
            mmap.mmap(-1, largest) as memory,  # of which a page that no step has reached takes no memory
            memoryview(memory) as scratch,
        ):
            while True:
                began = self._clock()
                with scratch[:step] as target:
                    count = file.readinto(target)
                if not count:
                    return
                seconds = self._clock() - began
                # Paced step by step, so that time spent frozen doesn't count as reading.
                self._sleep(max(count * pace - seconds, 0))
                self._loaded.value += count
                if seconds < SHORT_S:
                    step = min(step * 2, largest)
                elif seconds > LONG_S:
                    step = max(step // 2, min(SMALLEST, largest))
