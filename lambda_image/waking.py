"""The model of this environment: not loaded, loading in a thread, or loaded for good."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Protocol

from lambda_image.narrator import Narrator


class Reading(Protocol):
    """How far the weights have been read."""

    @property
    def loaded_bytes(self) -> int: ...

    @property
    def total_bytes(self) -> int: ...


class SleepingModel:
    """Args:
    load: makes the model, slowly; raises what it likes.
    reading: the read-ahead that tells the real progress.
    started: when this environment's process began (monotonic seconds).
    """

    def __init__(self, load: Callable[[], Narrator], reading: Reading, started: float) -> None:
        self._load = load
        self._reading = reading
        self._started = started
        self._narrator: Narrator | None = None
        self._failure: Exception | None = None
        self.cold_start_s: float | None = None  # told once, by the first reply

    @property
    def narrator(self) -> Narrator | None:
        return self._narrator

    def wake(self, every: float) -> Iterator[tuple[int, int, float | None]]:
        """Loads the model; yields (bytes read, bytes in all, seconds left or None) every `every` seconds.

        Raises whatever the loading raised; the next call tries again.
        """
        if self._narrator is not None:
            return
        thread = threading.Thread(target=self._run, name="load", daemon=True)
        thread.start()
        while True:
            yield self._progress()
            thread.join(every)
            if not thread.is_alive():
                break
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        self.cold_start_s = time.monotonic() - self._started

    def _run(self) -> None:
        try:
            self._narrator = self._load()
        except Exception as error:  # handed over to the thread that waits
            self._failure = error

    def _progress(self) -> tuple[int, int, float | None]:
        loaded, total = self._reading.loaded_bytes, self._reading.total_bytes
        elapsed = time.monotonic() - self._started
        left = elapsed * (total - loaded) / loaded if loaded else None
        return loaded, total, left
