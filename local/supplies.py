"""What must lie on disk before the house opens: the models' bundles, the worlds, the FAQ's files."""

import logging
import os
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from lambda_image.engine.convert.ensure import ensure_bundle
from lambda_image.engine.convert.fetch import fetch
from lambda_image.engine.errors import EngineError
from local.options import CACHE, Model, Options, WorldFolder
from prologue.faq.convert import ensure_embedder
from prologue.faq.index import ensure_index, index_path

log = logging.getLogger(__name__)
FAQ = CACHE / "faq"


@dataclass(frozen=True)
class Supplies:
    bundles: Mapping[str, Path]  # by model
    worlds: Path  # a folder with every world under its name
    faq: Path


def get_supplies(options: Options, scratch: Path, stopping: threading.Event) -> Supplies:
    """Fetches and builds what isn't there yet. `scratch`: an empty folder that lives as long as the stage.

    Raises EngineError (also once `stopping` is set), WorldError, SourceError, OSError.
    """
    bundles = {model.name: _bundle(model, options.worlds, stopping) for model in options.models}
    ensure_embedder(FAQ)
    versions = [version for world in options.worlds for version in world.versions]
    if not all(index_path(FAQ, version).is_file() for version in versions):  # seconds each
        log.info("indexing the worlds' questions, this once: it takes a minute or two")
    with ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="faq") as pool:
        list(pool.map(lambda version: ensure_index(FAQ, version), versions))
    worlds = scratch / "worlds"  # they may come from anywhere; a function is told of one folder
    worlds.mkdir()
    for world in options.worlds:
        (worlds / world.name).symlink_to(world.path)
    return Supplies(bundles=bundles, worlds=worlds, faq=FAQ)


def _bundle(model: Model, worlds: tuple[WorldFolder, ...], stopping: threading.Event) -> Path:
    """The model's bundle, with the worlds' prefixes."""
    return ensure_bundle(
        fetch(model.source, CACHE / "checkpoints", progress=_progress(f"fetching {model.name}", stopping)),
        CACHE / "bundles",
        name=model.name,
        entry=model.entry,
        worlds=[world.path for world in worlds],
        progress=_progress(f"packing {model.name}, this once", stopping),
    )


def _progress(what: str, stopping: threading.Event) -> Callable[[str, int, int], None]:
    """Logs each tenth of the way; ends it once the stage is to stop."""
    told = 0

    def progress(_: str, done: int, total: int) -> None:
        nonlocal told
        if stopping.is_set():
            raise EngineError(f"{what}: stopped")
        if (tenths := 10 * done // max(total, 1)) > told:
            told = tenths
            log.info("%s: %d %%", what, 10 * told)

    return progress
