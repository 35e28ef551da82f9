"""The page on this machine: the files of `web/`, and the `config.json` that tells them where to connect.

In the cloud a static host does this; here it is a hook on the gateway's own port, so one address is enough.
"""

import json
from collections.abc import Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from websockets.datastructures import Headers
from websockets.http11 import Request, Response

CONFIG = "config.json"
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
POLICY = (
    "default-src 'self'; connect-src 'self' ws://127.0.0.1:* ws://localhost:*; object-src 'none'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def page_hook(root: Path, config: Callable[[], Mapping[str, Any]]) -> Callable[[Request], Response | None]:
    """A hook for `websockets`' `process_request`: answers every request, with 404 where there is nothing.

    Args:
        root: the folder that is served. Only its files of the types above, and none through a link out of it.
        config: what `/config.json` holds; asked anew for each request.
    """
    folder = root.resolve()

    def answer(request: Request) -> Response | None:
        if request.method != "GET":
            return _text(HTTPStatus.METHOD_NOT_ALLOWED, "This page only answers GET.\n", Allow="GET")
        path = unquote(request.path.partition("?")[0]).removeprefix("/") or "index.html"
        if path == CONFIG:
            body = json.dumps(config(), ensure_ascii=False).encode()
            return _response(HTTPStatus.OK, "application/json", body, {"Cache-Control": "no-store"})
        file = _inside(folder, path)
        if file is None:
            return _text(HTTPStatus.NOT_FOUND, "There is nothing here. The page is at /.\n")
        return _response(HTTPStatus.OK, TYPES[file.suffix], file.read_bytes(), {"Cache-Control": "no-cache"})

    return answer


def _inside(folder: Path, path: str) -> Path | None:
    """The file at `path` under `folder`; None if there is none, or if the path leads out of it."""
    if "\0" in path or "\\" in path:
        return None
    file = (folder / path).resolve()
    served = file.is_relative_to(folder) and file.suffix in TYPES and file.is_file()
    return file if served else None


def _text(status: HTTPStatus, text: str, **headers: str) -> Response:
    return _response(status, "text/plain; charset=utf-8", text.encode(), headers)


def _response(status: HTTPStatus, content_type: str, body: bytes, more: Mapping[str, str]) -> Response:
    headers = Headers(
        {
            "Content-Type": content_type,
            "Content-Length": str(len(body)),
            "Content-Security-Policy": POLICY,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Connection": "close",
            **more,
        }
    )
    return Response(status.value, status.phrase, headers, body)
