"""What the local stage serves beside its WebSocket: the page's files and nothing else."""

import json
from pathlib import Path

import pytest
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from local.page import page_hook


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "web"
    (root / "js").mkdir(parents=True)
    (root / "index.html").write_text("<title>ä</title>", encoding="utf-8")
    (root / "js" / "main.js").write_text("export {};")
    (root / "notes.txt").write_text("not for the page")
    (root / "link.js").symlink_to(tmp_path / "secret.js")
    (tmp_path / "secret.js").write_text("secret")
    return root


def get(folder: Path, path: str, method: str = "GET") -> Response:
    answer = page_hook(folder, lambda: {"websocket": "ws://127.0.0.1:8000/prod"})(
        Request(path, Headers(), method)
    )
    assert answer is not None
    assert answer.headers["Content-Length"] == str(len(answer.body))
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    return answer


@pytest.mark.parametrize(
    ("path", "content_type", "body"),
    [
        ("/", "text/html; charset=utf-8", "<title>ä</title>"),
        ("/index.html?v=1", "text/html; charset=utf-8", "<title>ä</title>"),
        ("/js/main.js", "text/javascript; charset=utf-8", "export {};"),
        ("/js/%6dain.js", "text/javascript; charset=utf-8", "export {};"),
    ],
)
def test_files_come_with_their_type(folder: Path, path: str, content_type: str, body: str) -> None:
    answer = get(folder, path)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, content_type)
    assert answer.body.decode() == body


@pytest.mark.parametrize(
    "path",
    [
        "/missing.js",
        "/js",
        "/js/",
        "/notes.txt",
        "/../secret.js",
        "/%2e%2e/secret.js",
        "/js/../../secret.js",
        "/..%2fsecret.js",
        "/..\\secret.js",
        "/link.js",
        "//etc/passwd",
        "/main%00.js",
    ],
)
def test_nothing_else_is_served(folder: Path, path: str) -> None:
    answer = get(folder, path)
    assert answer.status_code == 404
    assert b"The page is at /" in answer.body


def test_only_get_is_answered(folder: Path) -> None:
    answer = get(folder, "/", "POST")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET")


def test_the_config_is_asked_anew_and_never_kept(folder: Path) -> None:
    ports = iter((8000, 8001))
    hook = page_hook(folder, lambda: {"websocket": f"ws://127.0.0.1:{next(ports)}/prod"})
    for port in (8000, 8001):
        answer = hook(Request("/config.json", Headers()))
        assert answer is not None
        assert answer.headers["Cache-Control"] == "no-store"
        assert json.loads(answer.body) == {"websocket": f"ws://127.0.0.1:{port}/prod"}
