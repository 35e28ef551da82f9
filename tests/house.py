"""Starts the real stage, as `make run` does, and ends it as Ctrl+C does."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

REPOSITORY = Path(__file__).parent.parent
READY = re.compile(r"ready page=(\S+) websocket=(\S+)\n")


@dataclass
class House:
    """A running stage. `log` grows while it runs."""

    process: subprocess.Popen[str]
    page: str
    websocket: str
    log: list[str] = field(default_factory=list)

    def family(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def command(*options: str) -> list[str]:
    return [sys.executable, "-m", "local", *options]


@contextmanager
def open_house(*options: str) -> Iterator[House]:
    """A stage on a free port. Ends it by SIGINT, and fails if it complains or leaves a process behind."""
    process = subprocess.Popen(
        command("--port", str(free_port()), *options),
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"COLUMNS": "200"},
    )
    assert process.stdout is not None
    assert process.stderr is not None
    log: list[str] = []
    reader = threading.Thread(target=log.extend, args=(process.stderr,), daemon=True)
    reader.start()
    ready = READY.fullmatch(process.stdout.readline())
    if ready is None:
        process.kill()
        process.wait()
        reader.join()
        raise AssertionError("the stage did not start:\n" + "".join(log))
    house = House(process, ready[1], ready[2], log)
    try:
        yield house
    finally:
        family = house.family()
        process.send_signal(signal.SIGINT)
        status = process.wait(timeout=30)
        _, alive = psutil.wait_procs(family, timeout=3)
        reader.join()
        process.stdout.close()
        process.stderr.close()
    assert status == 0, "".join(log)
    assert not alive, f"left behind: {alive}"
    assert not [line for line in log if "Traceback" in line], "".join(log)
