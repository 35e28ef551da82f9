"""A line to S3 that breaks off when it is told to, and an S3 to which it leads."""

import http.client
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar
from urllib.request import urlopen

import boto3

from local.lambda_service import launch
from tests.house import free_port

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

START_S = 60.0
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
}
SESSION = boto3.Session("test", "test", region_name="us-east-1")


def s3(endpoint: str) -> "S3Client":
    return SESSION.client("s3", endpoint_url=endpoint)


@contextmanager
def emulated(log: Path, services: str, *, enforcing: bool = False) -> Iterator[str]:
    """MiniStack with these services; yields where it answers. `enforcing`: users may do what their policies
    say, no more."""
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    settings = {
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "SERVICES": services,
        "AUTH": str(enforcing).lower(),
        "IOT_MTLS_ENABLED": "0",  # else it listens on a second port
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, launch.__file__, str(os.getpid()), sys.executable, "-m", "ministack"],
            env=os.environ | settings,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        until = time.monotonic() + START_S
        while not _answers(endpoint):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.05)
        yield endpoint
    finally:
        process.kill()
        process.wait()


def _answers(endpoint: str) -> bool:
    try:
        with urlopen(f"{endpoint}/_ministack/health", timeout=5):
            return True
    except OSError:
        return False


class BadLine:
    """Passes on what it is asked for. `ranges` are those that were: (first byte, last byte).

    `fault` is asked before each of them is answered, and may wait: how many bytes of the body go through
    before the line breaks, or None for all.
    """

    def __init__(self, target: str) -> None:
        self.ranges: list[tuple[int, int]] = []
        self.fault: Callable[[int, int], int | None] = lambda first, last: None
        upstream = target.removeprefix("http://")

        class Passing(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            line: ClassVar[BadLine] = self

            def do_HEAD(self) -> None:
                self._pass_on()

            def do_GET(self) -> None:
                self._pass_on()

            def _pass_on(self) -> None:
                connection = http.client.HTTPConnection(upstream)
                connection.request(self.command, self.path, headers=dict(self.headers))
                answer = connection.getresponse()
                body = answer.read()
                connection.close()
                cut = self.line._asked(self.headers.get("Range"))
                self.send_response_only(answer.status)
                for name, value in answer.headers.items():
                    if name.lower() not in ("transfer-encoding", "connection"):
                        self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body[:cut])
                self.close_connection = cut is not None

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Passing)
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._lock = threading.Lock()

    def __enter__(self) -> "BadLine":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _asked(self, wanted: str | None) -> int | None:
        if wanted is None:
            return None
        first, last = map(int, wanted.removeprefix("bytes=").split("-"))
        with self._lock:
            self.ranges.append((first, last))
        return self.fault(first, last)
