"""Checkpoint to bundle, tensor by tensor and at most 32 Mi weights at a time, so that memory stays small at
any size.

The bundle grows in a hidden folder beside its target, without a manifest, and is renamed into place when it
is complete: a half bundle never bears the name that is loaded, and can't be loaded under any other.
"""

import errno
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from lambda_image.engine.bundle.config import GROUP_SIZE
from lambda_image.engine.bundle.layout import LAYOUT, PANEL, Bytes, pack
from lambda_image.engine.bundle.manifest import (
    ENGINE,
    FORMAT,
    MANIFEST,
    PAGE,
    TEMPLATE_FILE,
    TOKENIZER_FILES,
    FileEntry,
    Manifest,
    TensorEntry,
    default_context,
    sha256_file,
)
from lambda_image.engine.bundle.plan import Planned
from lambda_image.engine.bundle.weights import WeightsWriter
from lambda_image.engine.convert.checkpoint import Checkpoint
from lambda_image.engine.convert.growing import growing
from lambda_image.engine.convert.quantize import quantize
from lambda_image.engine.convert.source import source_sha256
from lambda_image.engine.errors import BundleError, CheckpointError
from lambda_image.engine.text.tokens import ChatTokenizer

SLICE = 1 << 25  # weights quantized at a time: 128 MB as float32
SPARE = 64 << 20  # bytes of free disk beyond the weights: tokenizer, manifest, prefixes

Progress = Callable[[str, int, int], None]  # tensor's name, weights done, weights in all
Finish = Callable[[Path, Manifest], Manifest]  # the unfinished bundle's folder, its manifest so far


def write_bundle(
    checkpoint_folder: Path,
    out: Path,
    *,
    source: str | None = None,
    name: str | None = None,
    catalog: str | None = None,
    context_length: int | None = None,
    progress: Progress = lambda *_: None,
    finish: Finish = lambda _, manifest: manifest,
) -> Manifest:
    """Builds the bundle of `checkpoint_folder` at `out`, which must not exist.

    `source` is the checkpoint's `source_sha256` where the caller has it; `name` the model's, if it isn't the
    folder's. `finish` gets the folder with the weights, whose manifest is not yet on the disk (`open_bundle`
    takes it), may add files there, and returns the manifest that lists them. Raises CheckpointError before
    any work if the checkpoint isn't supported, BundleError if `out` exists or the disk is too small, OSError
    if the disk fills up; then nothing is left behind.
    """
    if out.exists():
        raise BundleError(f"{out} exists already: delete it, or choose another folder")
    checkpoint = Checkpoint(checkpoint_folder)
    _check_tokenizer(checkpoint)
    source = source or source_sha256(checkpoint_folder)
    try:
        with growing(out) as partial:
            _check_room(partial, checkpoint.plan)
            tensors, files = _write_tensors(checkpoint, partial, progress)
            manifest = Manifest(
                format=FORMAT,
                engine=ENGINE,
                name=name or checkpoint_folder.resolve().name,
                source_sha256=source,
                catalog=catalog,
                layout=LAYOUT,
                group_size=GROUP_SIZE,
                context_length=context_length or default_context(checkpoint.config),
                config=checkpoint.config,
                generation=checkpoint.generation,
                tensors=tensors,
                files=files | _copy_tokenizer(checkpoint_folder, partial),
            )
            manifest = finish(partial, manifest)
            (partial / MANIFEST).write_text(manifest.model_dump_json(indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        needed = _size(checkpoint.plan)
        raise OSError(
            errno.ENOSPC, f"the disk is full; the bundle needs {needed:,} bytes: make room", str(out)
        ) from error
    return manifest


def _check_tokenizer(checkpoint: Checkpoint) -> None:
    highest, vocabulary = ChatTokenizer.load(checkpoint.folder).highest_id, checkpoint.config.vocab_size
    if highest >= vocabulary:
        raise CheckpointError(
            f"{checkpoint.folder}: tokenizer.json has ids up to {highest}, the model knows {vocabulary}: "
            "they don't belong together"
        )


def _size(planned: list[Planned]) -> int:
    return sum(tensor.nbytes + -tensor.nbytes % PAGE for tensor in planned)


def _check_room(folder: Path, planned: list[Planned]) -> None:
    needed, free = _size(planned) + SPARE, shutil.disk_usage(folder).free
    if free < needed:
        raise BundleError(
            f"{folder.parent} has {free:,} bytes free, the bundle needs {needed:,}: make room, or choose "
            "another disk"
        )


def _write_tensors(
    checkpoint: Checkpoint, folder: Path, progress: Progress
) -> tuple[dict[str, TensorEntry], dict[str, FileEntry]]:
    done, total = 0, sum(planned.size for planned in checkpoint.plan)
    tensors: dict[str, TensorEntry] = {}
    files: dict[str, FileEntry] = {}
    for name in dict.fromkeys(planned.file for planned in checkpoint.plan):
        with WeightsWriter(folder / name) as writer:
            for planned in (planned for planned in checkpoint.plan if planned.file == name):
                writer.add(planned, _chunks(checkpoint, planned))
                done += planned.size
                progress(planned.name, done, total)
            entries, files[name] = writer.finish()
            tensors |= entries
    return tensors, files


def _chunks(checkpoint: Checkpoint, planned: Planned) -> Iterator[Bytes]:
    if planned.kind == "float32":
        yield checkpoint.rows(planned).numpy().view("uint8")
        return
    rows, columns = planned.shape
    step = max(SLICE // columns // PANEL, 1) * PANEL
    for start in range(0, rows, step):
        stop = min(start + step, rows)
        bias = checkpoint.bias(planned, start, stop)
        quantized, scales = quantize(checkpoint.rows(planned, start, stop))
        yield pack(quantized, scales, None if bias is None else bias.numpy())


def _copy_tokenizer(checkpoint: Path, bundle: Path) -> dict[str, FileEntry]:
    entries = {}
    for name in (*TOKENIZER_FILES, TEMPLATE_FILE):
        if (checkpoint / name).exists():
            copy = Path(shutil.copyfile(checkpoint / name, bundle / name))
            entries[name] = FileEntry(size=copy.stat().st_size, sha256=sha256_file(copy))
    return entries
