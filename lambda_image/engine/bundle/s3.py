"""Reads a bundle's weights out of S3 into memory, many ranges at a time, in order of first use.

Everything else of the bundle lies in the image, the manifest too: it says how large the weights are and what
their sha256 is, and by that they are found. Nothing touches a disk. The memory is a private mapping that
belongs to no file, so a function needs as much of its own.
"""

import json
import mmap
import threading
import time
import tomllib
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import Session

from lambda_image.engine.errors import BundleError

WEIGHTS = "weights.bin"
UPLOAD = "upload the weights again with python -m tools.weights (see docs/deploy.md, option weights)"
FAILURES = (ClientError, BotoCoreError, OSError)


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """`s3.toml`, which says what each is for."""

    connections: int
    part_kib: int
    piece_kib: int
    request_attempts: int
    breaks: int
    backoff_s: float
    connect_timeout_s: float
    read_timeout_s: float


def tuning() -> Tuning:
    return Tuning(**tomllib.loads(Path(__file__).with_name("s3.toml").read_text(encoding="utf-8")))


def weights_key(prefix: str, sha256: str) -> str:
    """Where weights lie in their bucket: other weights lie elsewhere."""
    return f"{prefix}/{sha256}.bin"


@dataclass
class Part:
    """What one request reads: bytes from `at`, which moves on as they come, to `end`."""

    at: int
    end: int


class S3Weights:
    """A background reading of the weights of `bundle`, found under `url`: `s3://BUCKET/PREFIX`.

    As with `ReadAhead`, `loaded_bytes` grows to `total_bytes`, and nothing raises before `wait`. `retry`
    reads what is still missing.
    """

    def __init__(
        self,
        bundle: Path,
        url: str,
        *,
        tuned: Tuning | None = None,
        sleep: Callable[[float], object] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.loaded_bytes = 0
        self.total_bytes = 0
        self.seconds = 0.0  # that reading it all took; 0 until it has
        self._bundle = bundle
        self._bucket, _, self._prefix = url.removeprefix("s3://").partition("/")
        self._tuned = tuned or tuning()
        self._sleep = sleep
        self._clock = clock
        self._lock = threading.Lock()
        self._target: memoryview | None = None  # all of it
        self._key = ""
        self._etag = ""
        self._left: deque[Part] = deque()
        self._error: Exception | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begins reading, or goes on."""
        self._error = None
        try:
            if self._target is None:
                self._prepare()
            client = self._client()  # here, not in the thread: it imports, and so does whoever called
        except Exception as error:  # for whoever waits
            self._error = error
            return
        self._thread = threading.Thread(target=self._run, args=(client,), name="s3", daemon=True)
        self._thread.start()

    def retry(self) -> None:
        """Goes on if the reading has failed."""
        if self._error is not None:
            if self._thread is not None:
                self._thread.join()  # whose readers still end what they began
            self.start()

    def wait(self) -> None:
        """Blocks until the weights are in memory. Raises BundleError, which says what to do; OSError."""
        if self._thread is not None:
            self._thread.join()
        if self._error is not None:
            raise self._error

    @property
    def memory(self) -> Mapping[str, memoryview]:
        """The weights, as far as they have come, by their file's name. BundleError if there is no room."""
        if self._target is not None:
            return {WEIGHTS: self._target.toreadonly()}
        if isinstance(self._error, BundleError):
            raise self._error
        return {}  # for want of a manifest, and who opens the bundle will say so

    def _prepare(self) -> None:
        manifest = json.loads((self._bundle / "manifest.json").read_bytes())
        entry = manifest["files"][WEIGHTS]
        size, self._key = entry["size"], weights_key(self._prefix, entry["sha256"])
        try:
            target = memoryview(mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
        except OSError as error:
            raise BundleError(
                f"{self._bundle}: no memory for {size >> 20:,} MB of weights ({error}): give it more"
            ) from None
        self.total_bytes, self._target = size, target

    def _client(self) -> Any:
        tuned = self._tuned
        return Session().create_client(
            "s3",
            config=Config(
                connect_timeout=tuned.connect_timeout_s,
                read_timeout=tuned.read_timeout_s,
                max_pool_connections=tuned.connections,
                retries={"mode": "standard", "total_max_attempts": tuned.request_attempts},
                response_checksum_validation="when_required",  # of a range there is none
            ),
        )

    def _run(self, client: Any) -> None:
        try:
            began = self._clock()
            etag = self._found(client)
            if etag != self._etag:  # the first attempt, or another object than the last one found
                self._etag = etag
                self._plan()
            readers = [
                threading.Thread(target=self._read, args=(client,), name=f"s3-{number}", daemon=True)
                for number in range(min(self._tuned.connections, len(self._left)))
            ]
            for reader in readers:
                reader.start()
            for reader in readers:
                reader.join()
            if self._error is None:
                self.seconds = self._clock() - began
        except Exception as error:  # a thread has nobody to tell
            self._error = error

    def _plan(self) -> None:
        size, step = self.total_bytes, self._tuned.part_kib << 10
        self._left = deque(Part(at, min(at + step, size)) for at in range(0, size, step))
        self.loaded_bytes = 0

    def _found(self, client: Any) -> str:
        """The ETag of the object, if it is as large as the weights are."""
        try:
            found = client.head_object(Bucket=self._bucket, Key=self._key)
        except FAILURES as error:
            raise self._told(error) from None
        if found["ContentLength"] != self.total_bytes:
            raise BundleError(
                f"{self._where} has {found['ContentLength']} bytes instead of {self.total_bytes}: {UPLOAD}"
            )
        return str(found["ETag"])

    def _read(self, client: Any) -> None:
        """Reads parts until none is left, or one of all readers fails."""
        while self._error is None:
            try:
                part = self._left.popleft()
            except IndexError:
                return
            try:
                self._patiently(client, part)
            except Exception as error:
                self._left.appendleft(part)
                self._error = self._told(error) if isinstance(error, FAILURES) else error

    def _patiently(self, client: Any, part: Part) -> None:
        """Reads a part. botocore repeats a request that is refused; this, what breaks off after it."""
        breaks = 0
        while part.at < part.end:
            before = part.at
            try:
                self._request(client, part)
            except (BotoCoreError, OSError):
                breaks = 1 if part.at > before else breaks + 1
                if breaks >= self._tuned.breaks:
                    raise
                self._sleep(self._tuned.backoff_s * 2 ** (breaks - 1))

    def _request(self, client: Any, part: Part) -> None:
        assert self._target is not None
        body = client.get_object(
            Bucket=self._bucket, Key=self._key, Range=f"bytes={part.at}-{part.end - 1}", IfMatch=self._etag
        )["Body"]
        piece = self._tuned.piece_kib << 10
        while part.at < part.end:
            with self._target[part.at : min(part.at + piece, part.end)] as place:
                count = body.readinto(place)
            if not count:
                raise ConnectionError(f"{self._where} ended at byte {part.at}")
            part.at += count
            with self._lock:
                self.loaded_bytes += count
        body.read()  # nothing is left of it: the connection can be used again

    @property
    def _where(self) -> str:
        return f"s3://{self._bucket}/{self._key}"

    def _told(self, error: Exception) -> BundleError:
        code = error.response["Error"]["Code"] if isinstance(error, ClientError) else ""
        if code in ("404", "NoSuchKey", "NoSuchBucket"):
            return BundleError(f"{self._where} is not there: {UPLOAD}")
        if code in ("403", "AccessDenied"):  # S3 says so of what is missing, too, to who may not list
            return BundleError(
                f"{self._where} is not there, or may not be read here ({error}): {UPLOAD}; "
                "if it is there, see that this function's role may get it"
            )
        if code in ("412", "PreconditionFailed"):
            return BundleError(f"{self._where} was replaced while it was read: try again")
        return BundleError(
            f"{self._where} can't be read beyond {self.loaded_bytes} of {self.total_bytes} bytes ({error}): "
            "try again; in a VPC, see that its subnets reach S3, by a gateway endpoint or NAT"
        )
