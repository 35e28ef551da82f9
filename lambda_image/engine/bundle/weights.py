"""`weights.bin`: appended tensor by tensor, mapped as a whole. Mapping copies nothing and reads nothing."""

import hashlib
import math
import mmap
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Self, get_args

import torch

from lambda_image.engine.bundle.manifest import PAGE, REBUILD, Dtype, FileEntry, TensorEntry, edges_crc32
from lambda_image.engine.errors import BundleError

DTYPES: dict[str, torch.dtype] = {name: getattr(torch, name) for name in get_args(Dtype)}


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

    def add(
        self, name: str, dtype: torch.dtype, shape: tuple[int, ...], chunks: Iterable[torch.Tensor]
    ) -> None:
        """Appends one tensor on a page boundary; `chunks` are its bytes in order."""
        self._write(bytes(-self._file.tell() % PAGE))
        offset = self._file.tell()
        for chunk in chunks:
            self._write(chunk.contiguous().view(torch.uint8).numpy().data)
        entry = {"offset": offset, "nbytes": self._file.tell() - offset, "shape": shape, "edges_crc32": 0}
        self._tensors[name] = TensorEntry.model_validate(entry | {"dtype": str(dtype).removeprefix("torch.")})

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
    """The mapped file. Tensors are views into the mapping and keep it alive."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with path.open("rb") as file:
                # Private and writable, never written: torch warns about read-only buffers. No page is copied.
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        except (OSError, ValueError) as error:
            raise BundleError(f"{path} can't be mapped ({error}): {REBUILD}") from None

    def tensor(self, name: str, entry: TensorEntry) -> torch.Tensor:
        """A view of one tensor; BundleError if the table points outside the file or disagrees with itself."""
        dtype = DTYPES[entry.dtype]
        count = math.prod(entry.shape)
        if entry.nbytes != count * dtype.itemsize or entry.offset + entry.nbytes > len(self._map):
            raise BundleError(f"{self._path}: the manifest's entry of {name} can't be right: {REBUILD}")
        return torch.frombuffer(self._map, dtype=dtype, count=count, offset=entry.offset).view(entry.shape)

    def edges_crc32(self, entry: TensorEntry) -> int:
        with memoryview(self._map) as view, view[entry.offset : entry.offset + entry.nbytes] as data:
            return edges_crc32(data)

    def check_edges(self, name: str, entry: TensorEntry) -> None:
        """BundleError if its first or last page isn't what was built: finds holes and mixed-up files."""
        if self.edges_crc32(entry) != entry.edges_crc32:
            raise BundleError(f"{self._path}: tensor {name} is damaged (checksum differs): {REBUILD}")
