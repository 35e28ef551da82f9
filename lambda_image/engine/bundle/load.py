"""A bundle, opened: its weights mapped, or in memory already; nothing copied, nothing repacked, every entry
checked against the plan."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from lambda_image.engine.bundle.layout import Bytes
from lambda_image.engine.bundle.manifest import NOTHING, REBUILD, Manifest, Memory, check_sizes, read_manifest
from lambda_image.engine.bundle.plan import Planned, plan
from lambda_image.engine.bundle.weights import Weights
from lambda_image.engine.errors import BundleError


class Bundle:
    """A bundle's manifest and mapped tensors; its pages come when they are touched."""

    def __init__(self, path: Path, manifest: Manifest, memory: Memory = NOTHING) -> None:
        self.path = path
        self.manifest = manifest
        self._planned = {planned.name: planned for planned in plan(manifest.config)}
        for planned in self._planned.values():
            self._check(planned)
        if strays := set(manifest.tensors) - set(self._planned):
            raise BundleError(f"{path}: the manifest has {min(strays)}, which the model doesn't: {REBUILD}")
        names = {planned.file for planned in self._planned.values()}
        files = {name: Weights(path / name, memory.get(name)) for name in names}
        self._tensors: dict[str, Bytes] = {}
        for name, planned in self._planned.items():
            self._tensors[name] = files[planned.file].tensor(name, manifest.tensors[name])
        self._files = files

    def planned(self, name: str) -> Planned:
        """Kind and shape of a tensor; KeyError if the model hasn't it."""
        return self._planned[name]

    def tensor(self, name: str) -> npt.NDArray[np.uint8 | np.float32]:
        """A read-only view into the mapped file: a matrix's packed bytes, uint8 [nbytes], or a vector,
        float32 of its shape. KeyError if the model hasn't it."""
        return self.packed(name) if self._planned[name].kind == "int4" else self.vector(name)

    def packed(self, name: str) -> Bytes:
        """A matrix's bytes, see `layout`."""
        return self._tensors[name]

    def vector(self, name: str) -> npt.NDArray[np.float32]:
        """A norm's weights."""
        return self._tensors[name].view(np.float32)

    def check_edges(self) -> None:
        """BundleError if the first or last page of a tensor isn't what was built. Touches these pages."""
        for name, planned in self._planned.items():
            self._files[planned.file].check_edges(name, self.manifest.tensors[name])

    def _check(self, planned: Planned) -> None:
        where = f"{self.path / planned.file}: the manifest"
        entry = self.manifest.tensors.get(planned.name)
        if entry is None:
            raise BundleError(f"{where} has nothing for {planned.name} {planned.shape}: {REBUILD}")
        found = (entry.file, entry.kind, entry.shape, entry.nbytes)
        needed = (planned.file, planned.kind, planned.shape, planned.nbytes)
        if found != needed:
            raise BundleError(f"{where} has {found} for {planned.name}, needed is {needed}: {REBUILD}")


def open_bundle(path: Path, manifest: Manifest | None = None, memory: Memory = NOTHING) -> Bundle:
    """The bundle in the folder `path`. BundleError names the file and the cause if it can't be served.

    `manifest` is for the builder, whose bundle has none on the disk yet. What is in `memory` need not be in
    the folder, and may still be on its way.
    """
    if manifest is None:
        manifest = read_manifest(path, memory)
    else:
        check_sizes(path, manifest, memory)
    return Bundle(path, manifest, memory)
