"""A bundle's weights to a decoder: mapped, nothing copied, nothing repacked."""

from pathlib import Path

import torch

from lambda_image.engine.aten.linear import Int4Linear, layout, padded
from lambda_image.engine.aten.model import Llama, assemble
from lambda_image.engine.bundle.config import GROUP_SIZE
from lambda_image.engine.bundle.manifest import REBUILD, WEIGHTS, Manifest
from lambda_image.engine.bundle.plan import plan
from lambda_image.engine.bundle.weights import Weights
from lambda_image.engine.errors import BundleError


class Loader:
    """`model` is usable as soon as this is constructed; its pages come when they are touched."""

    def __init__(self, bundle: Path, manifest: Manifest) -> None:
        if manifest.layout != layout():
            raise BundleError(
                f"{bundle} is packed for {manifest.layout}, this CPU reads {layout()}: "
                "build the bundle on a machine like this one"
            )
        self._manifest = manifest
        self._path = bundle / WEIGHTS
        self._weights = Weights(self._path)
        self._shapes = {planned.name: planned.shape for planned in plan(manifest.config)}
        self.model: Llama = assemble(manifest.config, self._floats, self._int4)

    def check_edges(self) -> None:
        """BundleError if the first or last page of a tensor isn't what was built. Touches these pages."""
        for name, entry in self._manifest.tensors.items():
            self._weights.check_edges(name, entry)

    def _floats(self, name: str) -> torch.Tensor:
        return self._tensor(name, self._shapes[name])

    def _int4(self, name: str) -> Int4Linear:
        rows, columns = self._shapes[name]
        return Int4Linear(
            packed=self._tensor(f"{name}.packed", (padded(rows), columns // 2)),
            scales=self._tensor(f"{name}.scales", (columns // GROUP_SIZE, padded(rows), 2)),
            out_features=rows,
        )

    def _tensor(self, name: str, shape: tuple[int, ...]) -> torch.Tensor:
        entry = self._manifest.tensors.get(name)
        if entry is None or entry.shape != shape:
            found = "nothing" if entry is None else f"shape {entry.shape}"
            raise BundleError(f"{self._path}: the manifest has {found} for {name} {shape}: {REBUILD}")
        return self._weights.tensor(name, entry)
