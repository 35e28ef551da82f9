"""Checkpoint to bundle, tensor by tensor and at most 32 Mi weights at a time, so that memory stays small at
any size.

The bundle grows in a hidden folder beside its target and is renamed into place when it is complete: a half
bundle never bears the name that is loaded.
"""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
import torch.nn.functional as F

from lambda_image.engine.aten.linear import ROW_BLOCK, layout, padded
from lambda_image.engine.bundle.config import GROUP_SIZE
from lambda_image.engine.bundle.manifest import FORMAT, MANIFEST, WEIGHTS, FileEntry, Manifest, sha256_file
from lambda_image.engine.bundle.plan import Kind, Planned
from lambda_image.engine.bundle.weights import WeightsWriter
from lambda_image.engine.convert.checkpoint import Checkpoint
from lambda_image.engine.convert.quantize import interleave, pack, quantize
from lambda_image.engine.convert.source import TEMPLATE_FILE, TOKENIZER_FILES, source_sha256
from lambda_image.engine.errors import BundleError, CheckpointError
from lambda_image.engine.text.tokens import ChatTokenizer

ENGINE = "curtain-engine/1"
SLICE = 1 << 25  # weights quantized at a time: 128 MB as float32

Progress = Callable[[str, int, int], None]  # tensor's name, weights done, weights in all


def write_bundle(
    checkpoint_folder: Path, out: Path, *, source: str | None = None, progress: Progress = lambda *_: None
) -> Manifest:
    """Builds the bundle of `checkpoint_folder` at `out`, which must not exist.

    `source` is the checkpoint's `source_sha256` where the caller has it. Raises CheckpointError before any
    work if the checkpoint isn't supported, BundleError if `out` exists, OSError if the disk fills up; then
    nothing is left behind.
    """
    if out.exists():
        raise BundleError(f"{out} exists already: delete it, or choose another folder")
    checkpoint = Checkpoint(checkpoint_folder)
    highest, vocabulary = ChatTokenizer.load(checkpoint_folder).highest_id, checkpoint.config.vocab_size
    if highest >= vocabulary:
        raise CheckpointError(
            f"{checkpoint_folder}: tokenizer.json has ids up to {highest}, the model knows {vocabulary}: "
            "they don't belong together"
        )
    source = source or source_sha256(checkpoint_folder)
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)  # what a killed build left
    partial.mkdir(parents=True)
    try:
        done, total = 0, sum(planned.size for planned in checkpoint.plan)
        with WeightsWriter(partial / WEIGHTS) as writer:
            for planned in checkpoint.plan:
                _add(writer, checkpoint, planned)
                done += planned.size
                progress(planned.name, done, total)
            tensors, weights = writer.finish()
        manifest = Manifest(
            format=FORMAT,
            engine=ENGINE,
            name=checkpoint_folder.resolve().name,
            source_sha256=source,
            layout=layout(),
            group_size=GROUP_SIZE,
            config=checkpoint.config,
            generation=checkpoint.generation,
            tensors=tensors,
            files={WEIGHTS: weights} | _copy_tokenizer(checkpoint_folder, partial),
        )
        (partial / MANIFEST).write_text(manifest.model_dump_json(indent=1) + "\n", encoding="utf-8")
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return manifest


def _add(writer: WeightsWriter, checkpoint: Checkpoint, planned: Planned) -> None:
    if planned.kind is Kind.VECTOR:
        writer.add(planned.name, torch.float32, planned.shape, [checkpoint.rows(planned)])
        return
    rows, columns = planned.shape
    step = max(SLICE // columns // ROW_BLOCK, 1) * ROW_BLOCK
    slices = (checkpoint.rows(planned, start, start + step) for start in range(0, rows, step))
    if planned.kind is Kind.TABLE:
        dtype = checkpoint.dtype(planned)
        writer.add(planned.name, dtype, planned.shape, (part.to(dtype) for part in slices))
        return
    scales: list[torch.Tensor] = []

    def packed() -> Iterator[torch.Tensor]:
        for part in slices:
            quantized, part_scales = quantize(F.pad(part, (0, 0, 0, padded(len(part)) - len(part))))
            scales.append(part_scales)
            yield pack(quantized)

    writer.add(f"{planned.name}.packed", torch.uint8, (padded(rows), columns // 2), packed())
    shape = (columns // GROUP_SIZE, padded(rows), 2)
    writer.add(f"{planned.name}.scales", torch.bfloat16, shape, [interleave(torch.cat(scales))])


def _copy_tokenizer(checkpoint: Path, bundle: Path) -> dict[str, FileEntry]:
    entries = {}
    for name in (*TOKENIZER_FILES, TEMPLATE_FILE):
        if (checkpoint / name).exists():
            copy = Path(shutil.copyfile(checkpoint / name, bundle / name))
            entries[name] = FileEntry(size=copy.stat().st_size, sha256=sha256_file(copy))
    return entries
