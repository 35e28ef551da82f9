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
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import psutil

from local.functions import TABLE
from session.dynamodb import DynamoStore
from session.record import Turn

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

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

    def crash_model(self) -> None:
        """The processes that run the model function's handler die, whatever they are doing."""
        running = [one for one in self.family() if "awslambdaric" in one.cmdline()]
        assert running, "no environment to crash"
        for one in running:
            one.kill()

    def restart_light(self) -> None:
        """The light function goes on in an environment that remembers nothing."""
        self.process.send_signal(signal.SIGUSR1)

    def turns(self, session_id: str) -> list[Turn]:
        """The finished turns as the table holds them."""
        return DynamoStore(self._table, TABLE).turns(session_id, now=0)

    def items(self) -> list[dict[str, Any]]:
        """Everything that the table holds."""
        pages = self._table.get_paginator("scan").paginate(TableName=TABLE, ConsistentRead=True)
        return [dict(item) for page in pages for item in page["Items"]]

    @cached_property
    def _table(self) -> "DynamoDBClient":
        emulator = next(one for one in self.family() if "ministack" in one.cmdline())
        return boto3.client(
            "dynamodb",
            endpoint_url=f"http://127.0.0.1:{emulator.environ()['GATEWAY_PORT']}",
            region_name="us-east-1",
            aws_access_key_id="local",
            aws_secret_access_key="local",  # the emulator wants some
        )


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def command(*options: str) -> list[str]:
    return [sys.executable, "-m", "local", *options]


@contextmanager
def open_house(*options: str, complains: bool = False) -> Iterator[House]:
    """A stage on a free port. Ends it by SIGINT, and fails if it leaves a process behind, or logs a traceback
    where none is meant to come (`complains`)."""
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
    assert complains or not [line for line in log if "Traceback" in line], "".join(log)
