"""A Hugging Face hub on loopback: the two endpoints that a download uses, over real HTTP."""

import hashlib
import json
import re
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Repository:
    files: dict[str, bytes]
    gated: bool = False
    sha256: dict[str, str] = field(default_factory=dict)  # of weights, where it isn't the true one


@dataclass
class FakeHub:
    """`cuts`: bytes after which the next answers for a file break off, one per request."""

    repositories: dict[str, Repository] = field(default_factory=dict)
    tokens: dict[str, bool] = field(default_factory=dict)  # token: whether it may read gated repositories
    cuts: dict[str, list[int]] = field(default_factory=dict)
    reset: bool = False  # whether a cut is a reset connection, not an early end
    requests: list[tuple[str, str | None]] = field(default_factory=list)  # path, Range
    url: str = ""

    def add(self, name: str, folder: Path, *, gated: bool = False) -> Repository:
        """Publishes the files of `folder`, and some that no bundle needs."""
        files = {path.name: path.read_bytes() for path in folder.iterdir()}
        files |= {"pytorch_model.bin": b"never", "original/params.json": b"never", "README.md": b"never"}
        self.repositories[name] = Repository(files, gated=gated)
        return self.repositories[name]

    def fetched(self) -> list[str]:
        """Names of the files that were asked for, in order."""
        return [path.rsplit("/", 1)[1] for path, _ in self.requests if "/resolve/" in path]


class _Handler(BaseHTTPRequestHandler):
    hub: FakeHub

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        self.hub.requests.append((path, self.headers["Range"]))
        token = (self.headers["Authorization"] or "").removeprefix("Bearer ") or None
        if token is not None and token not in self.hub.tokens:
            self._refuse(401, None, "Invalid credentials in Authorization header")
        elif match := re.fullmatch(r"/api/models/(\w+/[\w.-]+)/revision/(.+)", path):
            self._list(match[1], match[2])
        elif match := re.fullmatch(r"/(\w+/[\w.-]+)/resolve/(\w+)/(.+)", path):
            self._send_file(self.hub.repositories[match[1]], match[3], token)
        else:
            self._refuse(404, None, "no such page")

    def _list(self, name: str, revision: str) -> None:
        repository = self.hub.repositories.get(name)
        if repository is None:
            return self._refuse(401, "RepoNotFound", "Repository not found")
        if revision not in ("main", COMMIT):
            return self._refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        siblings = []
        for file, content in repository.files.items():
            entry: dict[str, object] = {"rfilename": file, "size": len(content), "blobId": "0" * 40}
            if file.endswith(".safetensors"):
                digest = repository.sha256.get(file, hashlib.sha256(content).hexdigest())
                entry["lfs"] = {"sha256": digest, "size": len(content), "pointerSize": 134}
            siblings.append(entry)
        body = json.dumps({"id": name, "sha": COMMIT, "gated": repository.gated, "siblings": siblings})
        self._send(200, body.encode())

    def _send_file(self, repository: Repository, file: str, token: str | None) -> None:
        if repository.gated and not self.hub.tokens.get(token or "", False):
            return self._refuse(401 if token is None else 403, "GatedRepo", "Access is restricted.")
        content = repository.files[file]
        start = 0
        if (wanted := self.headers["Range"]) is not None:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
        cuts = self.hub.cuts.get(file)
        self._send(206 if start else 200, content[start:], start, cut=cuts.pop(0) if cuts else None)

    def _send(self, status: int, body: bytes, start: int = 0, *, cut: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if status == 206:
            total = start + len(body)
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        self.end_headers()
        self.wfile.write(body if cut is None else body[:cut])
        if cut is not None:
            self.wfile.flush()
            self.close_connection = True
            if self.hub.reset:
                time.sleep(0.2)  # a reset would overtake what the client has not read yet
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                for end in (self.wfile, self.rfile, self.connection):
                    end.close()

    def _refuse(self, status: int, code: str | None, message: str) -> None:
        self.send_response(status)
        if code is not None:
            self.send_header("X-Error-Code", code)
        self.send_header("X-Error-Message", message)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def fake_hub() -> Iterator[FakeHub]:
    hub = FakeHub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        hub.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()
