"""How much memory a piece of work takes."""

import resource
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

STATUS = Path("/proc/self/status")
LOOK_S = 0.05  # between two looks at it


class Peak:
    """The most that was seen. Where there is no /proc, it can only be told with mapped files."""

    def __init__(self) -> None:
        self.anonymous = 0  # bytes; unlike pages of mapped files, they can't be dropped

    def look(self) -> None:
        """Looks once."""
        for line in STATUS.read_text(encoding="ascii").splitlines() if STATUS.exists() else ():
            if line.startswith("RssAnon:"):
                self.anonymous = max(self.anonymous, int(line.split()[1]) << 10)

    def __str__(self) -> str:
        if self.anonymous:
            return f"{self.anonymous / 1e9:.2f} GB"
        unit = 1 if sys.platform == "darwin" else 1024
        both = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
        return f"{both / 1e9:.2f} GB, mapped files included"


@contextmanager
def peak_memory() -> Iterator[Peak]:
    """This process's memory, looked at again and again while the block runs."""
    peak, done = Peak(), threading.Event()

    def watch() -> None:
        while not done.wait(LOOK_S):
            peak.look()

    thread = threading.Thread(target=watch, name="peak-memory", daemon=True)
    peak.look()
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()
        peak.look()
