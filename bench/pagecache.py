"""Forgetting what was read: drops files from the page cache, and proves that they are gone. Linux only."""

import contextlib
import ctypes
import mmap
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np

DROP = Path("/proc/sys/vm/drop_caches")
PAGE = mmap.PAGESIZE


class CacheError(Exception):
    """Pages stay in memory: somebody has them mapped, or the file lies on a file system in memory."""


def resident_bytes(path: Path) -> int:
    """How much of a file is in the page cache (mincore, of a mapping that touches nothing)."""
    size = path.stat().st_size
    if not size:
        return 0
    data = np.memmap(path, np.uint8, "r")
    pages = (ctypes.c_ubyte * -(-size // PAGE))()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mincore(ctypes.c_void_p(data.ctypes.data), ctypes.c_size_t(size), pages):
        raise OSError(ctypes.get_errno(), "mincore failed", str(path))
    return sum(page & 1 for page in pages) * PAGE


def drop(paths: Iterable[Path]) -> None:
    """Drops these files from the page cache, and all else that can be dropped if the system lets us.

    CacheError if more than a hundredth of one stays.
    """
    paths = list(paths)
    os.sync()
    for path in paths:
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    with contextlib.suppress(OSError):  # not root: libraries stay warm, which the document says
        DROP.write_text("1")
    for path in paths:
        left, size = resident_bytes(path), path.stat().st_size
        if left > max(size // 100, 4 << 20):
            raise CacheError(f"{left:,} of {size:,} bytes of {path} stay in memory: end what has it open")


def files_of(folder: Path) -> list[Path]:
    """All files below a folder."""
    return [path for path in folder.rglob("*") if path.is_file()]
