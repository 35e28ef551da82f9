"""As much of S3 as reading one object takes, as fast as this machine can, or no faster than it is told:
`python -m bench.s3_server FILE`. Prints its port.

Nobody is asked who he is. The kernel sends the file, so that the client's cost can be told from the server's.
"""

import http.server
import os
import ssl
import threading
import time
from pathlib import Path
from typing import Annotated

import typer

STEP = 128 << 10  # bytes between two looks at the clock


class Pace:
    """Lets bytes pass at a rate, in MB/s; 0 is any rate."""

    def __init__(self, rate: float) -> None:
        self._rate, self._free, self._lock = rate * 1e6, 0.0, threading.Lock()

    def wait(self, count: int) -> None:
        if not self._rate:
            return
        with self._lock:
            self._free = max(self._free, time.monotonic()) + count / self._rate
            until = self._free
        time.sleep(max(until - time.monotonic(), 0))


class Server(http.server.ThreadingHTTPServer):
    """Every key is the file."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, file: Path, *, first_byte_s: float, connection: float, together: float) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.file = file.open("rb")
        self.size = file.stat().st_size
        self.first_byte_s, self.connection, self.together = first_byte_s, connection, Pace(together)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client may go whenever it likes."""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing."""

    def do_HEAD(self) -> None:
        self._head(200, self.server.size)

    def do_GET(self) -> None:
        server = self.server
        first, last = map(int, self.headers["Range"].removeprefix("bytes=").split("-"))
        time.sleep(server.first_byte_s)
        self._head(206, last - first + 1, ("Content-Range", f"bytes {first}-{last}/{server.size}"))
        self.wfile.flush()
        own, at = Pace(server.connection), first
        while at <= last:
            count = min(STEP, last + 1 - at)
            own.wait(count)
            server.together.wait(count)
            at += self._send(at, count)

    def _send(self, at: int, count: int) -> int:
        if isinstance(self.connection, ssl.SSLSocket):
            self.connection.sendall(os.pread(self.server.file.fileno(), count, at))
            return count
        return os.sendfile(self.connection.fileno(), self.server.file.fileno(), at, count)

    def _head(self, status: int, length: int, *more: tuple[str, str]) -> None:
        self.send_response_only(status)
        for name, value in (("Content-Length", str(length)), ("ETag", '"1"'), *more):
            self.send_header(name, value)
        self.end_headers()


def main(
    file: Path,
    first_byte_ms: Annotated[float, typer.Option(help="From a request to its answer.")] = 0,
    connection: Annotated[float, typer.Option(help="MB/s of each connection at most; 0: any.")] = 0,
    together: Annotated[float, typer.Option(help="MB/s of all connections at most; 0: any.")] = 0,
    tls: Annotated[Path | None, typer.Option(help="A certificate with its key; else HTTP.")] = None,
) -> None:
    server = Server(file, first_byte_s=first_byte_ms / 1000, connection=connection, together=together)
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    typer.run(main)
