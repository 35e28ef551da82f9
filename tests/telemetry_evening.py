"""What CloudWatch and X-Ray would have got of the evening of `tests/telemetry_child.py`."""

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
HEADER = '{"format": "json", "version": 1}\n'


@dataclass
class Seen:
    """What operators see, and what only the listener knows (`keys`)."""

    text: str
    lines: list[dict[str, Any]] = field(default_factory=list)
    session_id: str = ""
    keys: list[str] = field(default_factory=list)
    traces: list[dict[str, Any]] = field(default_factory=list)

    def metrics(self, name: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if "_aws" in line and name in line]

    def logs(self) -> list[dict[str, Any]]:
        return [line for line in self.lines if "_aws" not in line]

    def written(self) -> set[tuple[str, str]]:
        """Which service wrote which metric."""
        return {
            (line["service"], metric["Name"])
            for line in self.lines
            for group in line.get("_aws", {}).get("CloudWatchMetrics", [])
            for metric in group["Metrics"]
        }


@cache
def evening() -> Seen:
    """Once in a process."""
    command = [sys.executable, "-m", "tests.telemetry_child"]
    with daemon() as listening:
        told = os.environ | {"AWS_XRAY_DAEMON_ADDRESS": address(listening)}
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, env=told)
        packets = heard(listening)
    *lines, last = done.stdout.splitlines()
    return Seen(
        "\n".join([*lines, done.stderr, *packets]),
        [json.loads(line) for line in lines],
        traces=[json.loads(packet.removeprefix(HEADER)) for packet in packets],
        **json.loads(last),
    )


@contextlib.contextmanager
def daemon() -> Iterator[socket.socket]:
    """Listens where X-Ray's daemon does on Lambda."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.setblocking(False)
        yield listening


def address(listening: socket.socket) -> str:
    return "{}:{}".format(*listening.getsockname())


def heard(listening: socket.socket) -> list[str]:
    """All that has been sent. On loopback it is there as soon as it was sent."""
    packets = []
    with contextlib.suppress(BlockingIOError):
        while True:
            packets.append(listening.recv(65_536).decode())
    return packets
