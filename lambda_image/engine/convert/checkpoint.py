"""A checkpoint in Hugging Face's layout, read lazily: rows of one tensor at a time, so that a 16 GB
checkpoint needs no 16 GB of memory.

Opening it checks everything that can be checked without reading weights; reading checks that they are finite.
Every refusal is a CheckpointError that names the file and the cause.
"""

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from lambda_image.engine.bundle.config import read_config, read_generation
from lambda_image.engine.bundle.plan import Planned, Source, plan
from lambda_image.engine.convert.source import SINGLE, source_files, weight_map
from lambda_image.engine.errors import CheckpointError

FLOATS = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}  # safetensors' names


class Checkpoint:
    """A Llama checkpoint that this engine can run. CheckpointError if it is anything else."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = read_config(folder / "config.json")
        self.generation = read_generation(folder)
        source_files(folder)
        self._where = _locate(folder)
        self.plan = list(plan(self.config))
        sources = {source for planned in self.plan for source in planned.sources}
        absent = sorted(source.name for source in sources if source.name not in self._where)
        if absent:
            raise CheckpointError(
                f"{folder}: tensor {absent[0]} is missing ({len(absent)} of {len(sources)} are): "
                "config.json and the weights don't belong together, or the download is incomplete"
            )
        used = {self._where[source.name] for source in sources}
        self._shards = {path: _open(path) for path in sorted(used)}
        for source in sorted(sources, key=lambda source: source.name):
            self._check(source)

    def dtype(self, planned: Planned) -> torch.dtype:
        """Float type in which the checkpoint keeps `planned`."""
        name = planned.sources[0].name
        return FLOATS[self._shards[self._where[name]].get_slice(name).get_dtype()]

    def rows(self, planned: Planned, start: int = 0, stop: int | None = None) -> torch.Tensor:
        """Rows [start, stop) of `planned` as float32, stacked sources counted through; all finite."""
        pieces, offset = [], 0
        stop = planned.shape[0] if stop is None else min(stop, planned.shape[0])
        for source in planned.sources:
            first, last = max(start - offset, 0), min(stop - offset, source.shape[0])
            if first < last:
                pieces.append(self._read(source.name, first, last))
            offset += source.shape[0]
        return torch.cat(pieces) if len(pieces) > 1 else pieces[0]

    def _read(self, name: str, start: int, stop: int) -> torch.Tensor:
        path = self._where[name]
        rows: torch.Tensor = self._shards[path].get_slice(name)[start:stop].float()
        # One pass and no temporary: a sum is finite only if all terms are, or if they overflow float32.
        if not torch.isfinite(rows.sum()) and not torch.isfinite(rows).all():
            raise CheckpointError(
                f"{path}: tensor {name} holds NaN or infinity: the file is damaged, or training diverged"
            )
        return rows

    def _check(self, source: Source) -> None:
        path = self._where[source.name]
        try:
            view = self._shards[path].get_slice(source.name)
        except SafetensorError as error:
            raise CheckpointError(f"{path}: tensor {source.name} can't be read ({error})") from None
        if tuple(view.get_shape()) != source.shape:
            raise CheckpointError(
                f"{path}: tensor {source.name} has shape {tuple(view.get_shape())}, "
                f"config.json asks for {source.shape}"
            )
        if view.get_dtype() not in FLOATS:
            raise CheckpointError(
                f"{path}: tensor {source.name} is {view.get_dtype()}; needed is one of {', '.join(FLOATS)}: "
                "take the unquantized checkpoint"
            )


def _locate(folder: Path) -> dict[str, Path]:
    """Tensor name to file."""
    shards = weight_map(folder)
    if shards is None:
        return dict.fromkeys(_open(folder / SINGLE).keys(), folder / SINGLE)
    return {tensor: folder / name for tensor, name in shards.items()}


def _open(path: Path) -> Any:  # safe_open comes without types
    try:
        return safe_open(path, framework="pt")
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} is truncated or damaged ({error}): fetch it again") from None
