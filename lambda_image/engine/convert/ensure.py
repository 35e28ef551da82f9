"""The bundle of a checkpoint, built when it is first needed.

A bundle's folder is named after all that it is made from, so nothing stale is ever found: first after what
decides its weights (the checkpoint's files, the context length, the bundle's format, the engine's version),
then after what the model is told of the worlds. A bundle that holds more worlds than are asked for does, and
other worlds or another text of one don't quantize the weights again.
Finding it again must be instant, without hashing 16 GB and without importing torch: `memo.json` beside the
bundles keeps each source file's sha256 for as long as its size and modification time stay the same.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from lambda_image.engine.bundle.config import read_config
from lambda_image.engine.bundle.manifest import ENGINE, FORMAT, default_context, sha256_file
from lambda_image.engine.convert.catalog import Entry
from lambda_image.engine.convert.finish import editions, finish_bundle, fixed_ids
from lambda_image.engine.convert.locked import locked
from lambda_image.engine.convert.reuse import bundles_of, holds, relink_bundle
from lambda_image.engine.convert.source import source_sha256
from lambda_image.engine.errors import BundleError, CheckpointError, PromptError
from lambda_image.engine.native import library
from lambda_image.engine.text.tokens import ChatTokenizer
from prologue.world import World

Progress = Callable[[str, int, int], None]  # what is made, weights done, weights in all


def ensure_bundle(
    checkpoint: Path,
    cache: Path,
    *,
    name: str | None = None,
    entry: Entry | None = None,
    worlds: Sequence[Path] = (),
    progress: Progress = lambda *_: None,
) -> Path:
    """The bundle of `checkpoint` under `cache`: built on the first call, found on later ones.

    `name` is the model's where it isn't the folder's, `entry` what the catalog says of it, `worlds` the
    folders of the worlds for whose fixed prompts, in each language, the bundle is to hold keys and values.
    Processes that ask at the same time wait for the one that builds; what a killed one left is removed.
    Raises CheckpointError, WorldError and, without the native library, EngineError, all before any work;
    BundleError or OSError if the disk is too small.
    """
    name = name or checkpoint.resolve().name
    config = read_config(checkpoint / "config.json")
    context = min(entry.context_length, config.max_position_embeddings) if entry else default_context(config)
    with locked(cache / "lock"):
        memo = _Memo(cache / "memo.json")
        source = source_sha256(checkpoint, file_sha256=memo.sha256)
        memo.save()
        weights = _digest(source, FORMAT, ENGINE, context)[:12]
        told = sorted(_told(edition, world) for edition, world in editions(worlds))
        bundle = cache / f"{name}-{weights}-{_digest(told)[:8]}"
        if bundle.exists():
            return bundle
        for left in cache.glob(".*.partial"):
            shutil.rmtree(left)
        fixed = _fixed(checkpoint, context, worlds)  # a refusing template shows now, not after the weights
        catalog = entry.name if entry else None
        kin = list(bundles_of(cache, weights))
        for other, manifest in kin:
            if (manifest.name, manifest.catalog) == (name, catalog) and holds(manifest, fixed):
                return other
        library.load()  # so does a missing library
        finish = finish_bundle(worlds)
        for other, manifest in kin:
            with suppress(BundleError):
                relink_bundle(other, manifest, bundle, name=name, catalog=catalog, finish=finish)
                return bundle
        from lambda_image.engine.convert.write import write_bundle  # seconds of torch and torchao

        write_bundle(
            checkpoint,
            bundle,
            source=source,
            name=name,
            catalog=catalog,
            context_length=context,
            progress=progress,
            finish=finish,
        )
    return bundle


def _digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _fixed(checkpoint: Path, context: int, worlds: Sequence[Path]) -> dict[str, list[int]]:
    """The ids of each prefix. CheckpointError if the chat template refuses its prompts."""
    tokenizer = ChatTokenizer.load(checkpoint)
    try:
        return {edition: fixed_ids(world, tokenizer)[:context] for edition, world in editions(worlds)}
    except PromptError as error:
        raise CheckpointError(f"{checkpoint}: {error}") from None


def _told(edition: str, world: World) -> list[object]:
    """What of a world decides its fixed prompt."""
    return [
        edition,
        world.system,
        world.facts,
        world.opening_prompt,
        [part.id for part in world.questions],
    ]


class _Memo:
    """The sha256 of files, each with a stamp of the file that it was computed from."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            known = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            known = {}
        self._known: dict[str, object] = known if isinstance(known, dict) else {}

    def sha256(self, path: Path) -> str:
        stat = path.stat()
        key, stamp = str(path.resolve()), f"{stat.st_size} {stat.st_mtime_ns}"
        match self._known.get(key):
            case [known, str(value)] if known == stamp:
                return value
        value = sha256_file(path)
        self._known[key] = [stamp, value]
        return value

    def save(self) -> None:
        self._path.write_text(json.dumps(self._known, indent=1), encoding="utf-8")
