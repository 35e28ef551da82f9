"""A stage whose every word the test speaks: real sockets, the real page, frames built by `session.events`."""

import threading
from collections.abc import Callable, Mapping
from queue import Empty, Queue
from types import TracebackType
from typing import TypeVar

from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

from local.options import REPOSITORY
from local.page import page_hook
from prologue.world import WORLDS, load_world
from session.events import Frame
from session.requests import ClientFrame, Ping, parse_client_frame

F = TypeVar("F", bound=ClientFrame)
_PATH = "/prod"
HARBOUR = {
    "name": "harbour",
    "language": "de",
    "title": "Der Nebelhafen",
    "tagline": "Etwas legt an",
    "theme": {"background": "#0b1420", "accent": "#7fb4e6"},
    "speakers": {"gatekeeper": "Die Lotsin"},
}
_WAIT_S = 15


class PageStage:
    """Serves `web/`, and one listener at a time. What the page sends waits until it is expected.

    Args:
        config: what the page's `config.json` says besides.
        admits: whether an upgrade request is let in.
    """

    def __init__(
        self,
        config: Mapping[str, object] | None = None,
        admits: Callable[[Request], bool] = lambda _: True,
    ) -> None:
        self._more = config or {}
        self._admits = admits
        self._world = load_world(WORLDS / "emerald-city")
        self._page = page_hook(REPOSITORY / "web", self._config)
        self._connections: Queue[ServerConnection] = Queue()
        self._heard: Queue[ClientFrame] = Queue()
        self.on_stage: ServerConnection | None = None
        self._server = serve(self._listen, "127.0.0.1", 0, process_request=self._route, compression=None)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._address = f"127.0.0.1:{self._server.socket.getsockname()[1]}"
        self.url = f"http://{self._address}/"
        self.websocket = f"ws://{self._address}{_PATH}"

    def __enter__(self) -> "PageStage":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()

    def enter(self) -> None:
        """Waits for the page's next connection; from now on frames go there."""
        try:
            self.on_stage = self._connections.get(timeout=_WAIT_S)
        except Empty:
            raise AssertionError(f"the page opened no connection within {_WAIT_S} s") from None

    def tell(self, *frames: Frame) -> None:
        assert self.on_stage is not None
        for frame in frames:
            self.on_stage.send(frame.wire().decode())

    def expect(self, kind: type[F]) -> F:
        """The page's next frame, which must be of this kind; pings come at any time and are passed over."""
        while True:
            try:
                frame = self._heard.get(timeout=_WAIT_S)
            except Empty:
                raise AssertionError(f"the page sent no {kind.__name__} within {_WAIT_S} s") from None
            if isinstance(frame, kind):
                return frame
            assert isinstance(frame, Ping), f"expected {kind.__name__}, but the page sent {frame!r}"

    def drop(self) -> None:
        """The line goes dead."""
        assert self.on_stage is not None
        self.on_stage.close(1001)

    @property
    def calls(self) -> int:
        """Connections that the page opened and that nobody has answered."""
        return self._connections.qsize()

    def _config(self) -> dict[str, object]:
        told = {"name", "language", "title", "tagline", "theme", "speakers"}
        return {"websocket": self.websocket, "worlds": [self._world.model_dump(include=told), HARBOUR]} | {
            **self._more
        }

    def _route(self, connection: ServerConnection, request: Request) -> Response | None:
        if request.path.partition("?")[0] != _PATH:
            return self._page(request)
        return None if self._admits(request) else connection.respond(403, "Forbidden")

    def _listen(self, connection: ServerConnection) -> None:
        self._connections.put(connection)
        try:
            for message in connection:
                self._heard.put(parse_client_frame(str(message)))
        except ConnectionClosed:
            pass  # the page left, as pages do
