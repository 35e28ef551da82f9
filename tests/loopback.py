"""A small HTTP server on loopback, on a thread of its own, while it is entered."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self


class Request(BaseHTTPRequestHandler):
    """One to answer: `command`, `path`, `headers`, `body`. It isn't printed."""

    @property
    def body(self) -> str:
        return self.rfile.read(int(self.headers["content-length"])).decode()

    def log_message(self, *_: object) -> None:
        pass


class Loopback:
    """`origin`: its address. Whoever inherits from it says what is answered."""

    def __init__(self) -> None:
        outer = self

        class Handler(Request):
            def do_GET(self) -> None:
                self._answer()

            def do_POST(self) -> None:
                self._answer()

            def _answer(self) -> None:
                status, body = outer.answer(self)
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body.encode())

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self.origin = f"http://127.0.0.1:{self._server.server_port}"

    def answer(self, request: Request) -> tuple[int, str]:
        """Status and body. On a thread of the request's own."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
