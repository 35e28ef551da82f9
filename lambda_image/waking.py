"""The model of this environment: not loaded, loading beside the invocation, or loaded for good."""

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from lambda_image.narrator import Narrator
from lambda_image.tasks import Task, Tasks

if TYPE_CHECKING:
    from lambda_image.engine.bundle.reading import Progress


class LoadError(Exception):
    """The model could not be loaded; the message is the cause's."""


class SleepingModel:
    """Args:
    load: makes the model, slowly; raises what it likes.
    reading: the read-ahead that tells the real progress.
    started: when this environment's process began (monotonic seconds).
    """

    def __init__(
        self, load: Callable[[], Narrator], reading: "Progress", started: float, *, tasks: Tasks
    ) -> None:
        self.started = started
        self._load = load
        self._reading = reading
        self._began = started  # of the load that runs; the first one begins with the process
        self._tasks = tasks
        self._task: Task | None = None
        self._failure: Exception | None = None
        self.narrator: Narrator | None = None
        self.cold_start_s = 0.0  # how long the load took; init is part of the first one
        self.init_s = 0.0  # of it, what came before somebody asked
        self.measured = False  # whether nobody abandoned it: frozen time is no cold start
        self.tokens_per_s: float | None = None  # of the last reply

    def wake(self, every: float) -> Iterator[tuple[int, int, float | None]]:
        """Loads the model; yields (bytes read, bytes in all, seconds left or None) every `every` seconds,
        the caller's work between two of them included.

        A load that an earlier caller abandoned is waited for, not begun again. Raises LoadError; the next
        call tries again.
        """
        if self.narrator is not None and self._task is None:
            return
        self.measured = self._task is None
        due = self._tasks.monotonic()
        self._began = min(self._began, due)
        self.init_s = due - self._began
        task = self._task = self._task or self._tasks.spawn("load", self._run)
        while True:
            yield self._progress()
            now = self._tasks.monotonic()
            due = max(due + every, now)  # what came late is not made up for
            if task.join(due - now):
                break
        self._task = None
        if self._failure is not None:
            failure, self._failure = self._failure, None
            self._began = math.inf  # with the next attempt: what lies between the two is no cold start
            raise LoadError(str(failure)) from failure
        self.cold_start_s = self._tasks.monotonic() - self._began

    def stages(self) -> dict[str, float]:
        """The last load in figures, by the names of `telemetry.UNITS`."""
        stages = {
            "ModelColdStart": 1.0,
            "LoadSeconds": self.cold_start_s,
            "InitSeconds": self.init_s,
            "ReadSeconds": self._reading.seconds,
        }
        if self._reading.seconds:
            stages["LoadMBps"] = self._reading.total_bytes / self._reading.seconds / 1e6
        return stages

    def _run(self) -> None:
        try:
            self.narrator = self._load()
        except Exception as error:  # handed over to the thread that waits
            self._failure = error

    def _progress(self) -> tuple[int, int, float | None]:
        loaded, total = self._reading.loaded_bytes, self._reading.total_bytes
        elapsed = self._tasks.monotonic() - self._began
        left = elapsed * (total - loaded) / loaded if loaded else None
        return loaded, total, left
