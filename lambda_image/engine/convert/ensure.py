"""The bundle of a checkpoint, built when it is first needed.

A bundle's folder is named after the content of its source, its layout and its format, so nothing stale is
ever found. Finding it again must be instant, without hashing 16 GB and without importing torch: `memo.json`
beside the bundles keeps each source file's sha256 for as long as its size and modification time stay the
same, and the int4 layout for as long as CPU and torch stay the same.
"""

import fcntl
import hashlib
import json
import os
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from lambda_image.engine.bundle.manifest import FORMAT, sha256_file
from lambda_image.engine.convert.source import source_sha256


def ensure_bundle(checkpoint: Path, cache: Path) -> Path:
    """The bundle of `checkpoint` for this machine, under `cache`: built on the first call, found on later
    ones.

    Processes that ask at the same time wait for the one that builds. Raises CheckpointError; OSError if the
    disk is full.
    """
    cache.mkdir(parents=True, exist_ok=True)
    with _locked(cache / "lock"):
        memo = _Memo(cache / "memo.json")
        source = source_sha256(checkpoint, file_sha256=memo.sha256)
        layout = memo.layout()
        memo.save()
        name = f"{checkpoint.resolve().name}-{source[:12]}-{layout.replace('/', '-')}-v{FORMAT}"
        if not (cache / name).exists():
            from lambda_image.engine.convert.write import (
                write_bundle,
            )  # seconds of torch and torchao, only when building

            write_bundle(checkpoint, cache / name, source=source)
    return cache / name


class _Memo:
    """Values that are slow to find out, each with a stamp of what it was found from."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            known = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            known = {}
        self._known: dict[str, object] = known if isinstance(known, dict) else {}

    def sha256(self, path: Path) -> str:
        stat = path.stat()
        return self._get(str(path.resolve()), f"{stat.st_size} {stat.st_mtime_ns}", lambda: sha256_file(path))

    def layout(self) -> str:
        def ask_torch() -> str:
            from lambda_image.engine.aten.linear import layout

            return layout()

        return self._get("layout", _cpu_stamp(), ask_torch)

    def save(self) -> None:
        self._path.write_text(json.dumps(self._known, indent=1), encoding="utf-8")

    def _get(self, key: str, stamp: str, find: Callable[[], str]) -> str:
        match self._known.get(key):
            case [known, str(value)] if known == stamp:
                return value
        value = find()
        self._known[key] = [stamp, value]
        return value


def _cpu_stamp() -> str:
    """Changes whenever torch could choose other kernels: its version, its override, the CPU's features."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        features = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    except OSError:  # not Linux
        features = platform.processor()
    stamp = f"{version('torch')} {os.environ.get('ATEN_CPU_CAPABILITY')} {platform.machine()} {features}"
    return hashlib.sha256(stamp.encode()).hexdigest()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # released on close, also when the process dies
        yield
