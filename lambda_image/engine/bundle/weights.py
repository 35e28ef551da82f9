"""A file of tensors: appended one by one, mapped as a whole. Mapping copies nothing and reads nothing."""

import hashlib
import mmap
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Self

import numpy as np

from lambda_image.engine.bundle.layout import Bytes
from lambda_image.engine.bundle.manifest import PAGE, REBUILD, FileEntry, TensorEntry, edges_crc32
from lambda_image.engine.bundle.plan import Planned
from lambda_image.engine.errors import BundleError


class WeightsWriter:
    """Writes `path`, hashing on the way. A context manager, which closes the file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("xb")
        self._sha256 = hashlib.sha256()
        self._tensors: dict[str, TensorEntry] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, planned: Planned, chunks: Iterable[Bytes]) -> None:
        """Appends one tensor on a page boundary; `chunks` are its bytes in order."""
        self._write(bytes(-self._file.tell() % PAGE))
        offset = self._file.tell()
        for chunk in chunks:
            self._write(np.ascontiguousarray(chunk).data)
        nbytes = self._file.tell() - offset
        if nbytes != planned.nbytes:
            raise ValueError(f"{planned.name} has {nbytes} bytes instead of {planned.nbytes}")
        self._tensors[planned.name] = TensorEntry(
            file=self._path.name,
            offset=offset,
            nbytes=nbytes,
            kind=planned.kind,
            shape=planned.shape,
            edges_crc32=0,
        )

    def finish(self) -> tuple[dict[str, TensorEntry], FileEntry]:
        """Flushes to the disk; returns the tensor table and the file's entry."""
        self._file.flush()
        os.fsync(self._file.fileno())
        weights = Weights(self._path)
        tensors = {
            name: entry.model_copy(update={"edges_crc32": weights.edges_crc32(entry)})
            for name, entry in self._tensors.items()
        }
        return tensors, FileEntry(size=self._file.tell(), sha256=self._sha256.hexdigest())

    def _write(self, data: bytes | memoryview) -> None:
        self._file.write(data)
        self._sha256.update(data)


class Weights:
    """The mapped file, read-only; or `memory`, where it is to be. Tensors are views, and keep it alive."""

    def __init__(self, path: Path, memory: memoryview | None = None) -> None:
        self._path = path
        if memory is not None:
            self._map: mmap.mmap | memoryview = memory
            return
        try:
            with path.open("rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise BundleError(f"{path} can't be mapped ({error}): {REBUILD}") from None

    def tensor(self, name: str, entry: TensorEntry) -> Bytes:
        """A view of one tensor's bytes; BundleError if the entry points outside the file."""
        if entry.offset % PAGE or entry.offset + entry.nbytes > len(self._map):
            raise BundleError(f"{self._path}: the manifest's entry of {name} can't be right: {REBUILD}")
        return np.frombuffer(self._map, np.uint8, count=entry.nbytes, offset=entry.offset)

    def edges_crc32(self, entry: TensorEntry) -> int:
        with memoryview(self._map) as view, view[entry.offset : entry.offset + entry.nbytes] as data:
            return edges_crc32(data)

    def check_edges(self, name: str, entry: TensorEntry) -> None:
        """BundleError if its first or last page isn't what was built: finds holes and mixed-up files."""
        if self.edges_crc32(entry) != entry.edges_crc32:
            raise BundleError(f"{self._path}: tensor {name} is damaged (checksum differs): {REBUILD}")
