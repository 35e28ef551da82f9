"""Time and threads as the model function uses them: real ones here, virtual ones in the simulator."""

import threading
import time
from collections.abc import Callable
from typing import Protocol


class Task(Protocol):
    def join(self, timeout: float | None = None) -> bool:
        """Waits until the work is over, for at most `timeout` seconds; returns whether it is."""
        ...


class Signal(Protocol):
    """Wakes one waiter; a notification that comes first is not lost."""

    def wait(self, timeout: float) -> None: ...

    def notify(self) -> None: ...


class Tasks(Protocol):
    def monotonic(self) -> float: ...

    def sleep(self, seconds: float) -> None: ...

    def spawn(self, name: str, work: Callable[[], None]) -> Task:
        """Runs `work` beside the caller; it must not raise."""
        ...

    def signal(self) -> Signal: ...


class _Thread:
    def __init__(self, thread: threading.Thread) -> None:
        self._thread = thread

    def join(self, timeout: float | None = None) -> bool:
        self._thread.join(timeout)
        return not self._thread.is_alive()


class _Event:
    def __init__(self) -> None:
        self._event = threading.Event()

    def wait(self, timeout: float) -> None:
        if self._event.wait(timeout):
            self._event.clear()

    def notify(self) -> None:
        self._event.set()


class Threads:
    """The real thing."""

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def spawn(self, name: str, work: Callable[[], None]) -> Task:
        thread = threading.Thread(target=work, name=name, daemon=True)
        thread.start()
        return _Thread(thread)

    def signal(self) -> Signal:
        return _Event()
