"""A checkpoint in Hugging Face's layout, read lazily: rows of one tensor at a time, each time through a
mapping of its own, so that a 16 GB checkpoint needs no 16 GB of memory.

Opening it checks everything that can be checked without reading weights; reading checks that they are finite.
Every refusal is a CheckpointError that names the file and the cause.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from lambda_image.engine.bundle.config import read_config, read_generation
from lambda_image.engine.bundle.plan import Planned, Source, plan
from lambda_image.engine.convert.source import SINGLE, source_files, weight_map
from lambda_image.engine.errors import CheckpointError

FLOATS = ("F32", "F16", "BF16")  # safetensors' names


class Checkpoint:
    """A checkpoint that this engine can run. CheckpointError if it is anything else."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = read_config(folder / "config.json")
        self.generation = read_generation(folder)
        source_files(folder)
        self._where = _locate(folder)
        self.plan = list(plan(self.config))
        sources = {source for planned in self.plan for source in (*planned.sources, *planned.biases)}
        absent = sorted(source.name for source in sources if source.name not in self._where)
        if absent:
            raise CheckpointError(
                f"{folder}: tensor {absent[0]} is missing ({len(absent)} of {len(sources)} are): "
                "config.json and the weights don't belong together, or the download is incomplete"
            )
        self._refuse_strays()
        for path in sorted({self._where[source.name] for source in sources}):
            with _open(path) as shard:
                here = (source for source in sources if self._where[source.name] == path)
                for source in sorted(here, key=lambda source: source.name):
                    _check(path, shard, source)

    def rows(self, planned: Planned, start: int = 0, stop: int | None = None) -> torch.Tensor:
        """Rows [start, stop) of `planned` as float32, stacked sources counted through; all finite."""
        return self._stacked(planned.sources, start, planned.shape[0] if stop is None else stop)

    def bias(self, planned: Planned, start: int = 0, stop: int | None = None) -> torch.Tensor | None:
        """Biases of these rows as float32; None if `planned` has none."""
        if not planned.biases:
            return None
        return self._stacked(planned.biases, start, planned.shape[0] if stop is None else stop)

    def _stacked(self, sources: Sequence[Source], start: int, stop: int) -> torch.Tensor:
        pieces, offset = [], 0
        for source in sources:
            first, last = max(start - offset, 0), min(stop - offset, source.shape[0])
            if first < last:
                pieces.append(self._read(source.name, first, last))
            offset += source.shape[0]
        return torch.cat(pieces) if len(pieces) > 1 else pieces[0]

    def _read(self, name: str, start: int, stop: int) -> torch.Tensor:
        path = self._where[name]
        with _open(path) as shard:  # closed at once: mapped pages count as this process's memory
            part = shard.get_slice(name)[start:stop]
            rows: torch.Tensor = part.to(torch.float32, copy=True)
        # One pass and no temporary: a sum is finite only if all terms are, or if they overflow float32.
        if not torch.isfinite(rows.sum()) and not torch.isfinite(rows).all():
            raise CheckpointError(
                f"{path}: tensor {name} holds NaN or infinity: the file is damaged, or training diverged"
            )
        return rows

    def _refuse_strays(self) -> None:
        """A bias or norm that the configuration doesn't announce would be left out without a word."""
        known = {source.name for planned in self.plan for source in (*planned.sources, *planned.biases)}
        for name in sorted(self._where):
            layer, announced = name.startswith("model.layers."), name in known
            if layer and not announced and not name.endswith(".rotary_emb.inv_freq"):
                raise CheckpointError(
                    f"{self._where[name]}: tensor {name} has no place in a {self.config.architecture} with "
                    f"{self.config.num_hidden_layers} layers: config.json belongs to other weights"
                )


def _check(path: Path, shard: Any, source: Source) -> None:
    try:
        view = shard.get_slice(source.name)
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
        with _open(folder / SINGLE) as shard:
            return dict.fromkeys(shard.keys(), folder / SINGLE)
    return {tensor: folder / name for tensor, name in shards.items()}


def _open(path: Path) -> Any:  # safe_open comes without types
    try:
        return safe_open(path, framework="pt")
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} is truncated or damaged ({error}): fetch it again") from None
