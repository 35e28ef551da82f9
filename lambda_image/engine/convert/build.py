"""`make model MODEL=llama3.1-8b`: a checkpoint, fetched if need be, becomes a bundle.

The bundle lies under `.cache/bundles`, named after its content; `.cache/models/NAME` is a link to it that
stays, for the image's build.
"""

import errno
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from lambda_image.engine.bundle.config import read_config
from lambda_image.engine.bundle.manifest import Manifest, verify_bundle
from lambda_image.engine.bundle.plan import plan
from lambda_image.engine.convert.catalog import NAME, REPOSITORY, CatalogError, Entry, load_catalog
from lambda_image.engine.convert.ensure import ensure_bundle
from lambda_image.engine.convert.fetch import fetch
from lambda_image.engine.convert.memory import Peak, peak_memory
from lambda_image.engine.errors import CheckpointError, EngineError
from lambda_image.engine.native.build import build as build_library
from lambda_image.engine.native.target import NAMES
from lambda_image.engine.native.target import Target as NativeTarget
from prologue.world import WORLDS, WorldError

CACHE = REPOSITORY / ".cache"
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
SHAPE = (
    "architecture",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "vocab_size",
    "tie_word_embeddings",
)


class Target(StrEnum):
    """Lambda's names of its architectures. The bundle is the same; the image's native library isn't."""

    arm64 = "arm64"
    x86_64 = "x86_64"


def main(
    model: Annotated[str, typer.Argument(help="A name of the catalog; any name with --source.")],
    source: Annotated[
        str | None, typer.Option(help="A folder, or owner/repository[@revision], instead of the catalog's.")
    ] = None,
    target: Annotated[Target, typer.Option(help="The function's architecture.")] = Target.arm64,
    world: Annotated[
        list[str] | None, typer.Option(help="A world under prologue/worlds (repeatable); default: all.")
    ] = None,
    cache: Annotated[Path, typer.Option(help="Where checkpoints and bundles are kept.")] = CACHE,
) -> None:
    """Fetches MODEL, quantizes it to int4 and packs it for both architectures of Lambda."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # cleans up as after Ctrl-C
    began = time.monotonic()
    try:
        with peak_memory() as peak:
            worlds = _folders(world)
            entry, reference = _choose(model, source)
            with _bar() as progress:
                checkpoint = fetch(reference, cache / "checkpoints", progress=progress)
            if entry and source:
                _check_shape(checkpoint, entry)
            name = entry.name if entry else model.lower()
            library = build_library(NativeTarget(NAMES[target]))
            with _bar() as progress:
                bundle = ensure_bundle(
                    checkpoint, cache / "bundles", name=name, entry=entry, worlds=worlds, progress=progress
                )
            manifest = verify_bundle(bundle)
        link = _link(cache / "models" / name, bundle)
    except KeyboardInterrupt:
        typer.echo("stopped: no half bundle is left, and a download goes on next time", err=True)
        raise typer.Exit(130) from None
    except (EngineError, WorldError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno in FULL and "make room" not in reason:
            reason += ": make room there"
        typer.echo(f"error: {error.filename or cache}: {reason}", err=True)
        raise typer.Exit(1) from None
    typer.echo(_summary(link, manifest, peak, time.monotonic() - began))
    typer.echo(f"{library} is {target}'s library; the bundle serves arm64 and x86_64")


def _choose(model: str, source: str | None) -> tuple[Entry | None, str]:
    """What the catalog says of the model, and what is to be fetched."""
    try:
        entry = load_catalog().find(model)
    except CatalogError:
        if source is None:
            raise
        if not NAME.fullmatch(model.lower()):
            raise CatalogError(
                f"{model!r} can't be a model's name, which folders get: letters, digits, dots and hyphens, a "
                "letter or digit first"
            ) from None
        return None, source
    return entry, source or entry.reference


def _folders(names: list[str] | None) -> list[Path]:
    """The worlds' folders."""
    known = sorted(path.parent.name for path in WORLDS.glob("*/world.yaml"))
    for name in names or ():
        if name not in known:
            raise WorldError([f"no world {name!r} under {WORLDS}; known: {', '.join(known)}"])
    return [WORLDS / name for name in names or known]


def _check_shape(checkpoint: Path, entry: Entry) -> None:
    found, wanted = read_config(checkpoint / "config.json"), entry.config.model
    for key in SHAPE:
        if getattr(found, key) != getattr(wanted, key):
            raise CheckpointError(
                f"{checkpoint} is no {entry.name}: {key} is {getattr(found, key)}, not "
                f"{getattr(wanted, key)}; give MODEL a name of its own"
            )


def _link(path: Path, bundle: Path) -> Path:
    """Makes `path` a link to `bundle`, in one step: whoever reads it finds the old bundle or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(Path("..") / bundle.relative_to(path.parent.parent), target_is_directory=True)
    fresh.replace(path)
    return path


def _summary(link: Path, manifest: Manifest, peak: Peak, seconds: float) -> str:
    size = sum(entry.size for entry in manifest.files.values())
    ratio = size / sum(planned.size for planned in plan(manifest.config))
    return (
        f"{link} -> {link.resolve().name}  {size / 1e6:,.1f} MB, {ratio:.4f} bytes per parameter, prefixes: "
        f"{', '.join(manifest.prefixes) or 'none'}; peak memory {peak}, {seconds:.0f} s"
    )


@contextmanager
def _bar() -> Iterator["_Report"]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield _Report(progress)


class _Report:
    """Shows one bar, once there is something to show."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("", visible=False)

    def __call__(self, name: str, done: int, total: int) -> None:
        self._progress.update(self._task, description=name, completed=done, total=total, visible=True)


if __name__ == "__main__":
    typer.run(main)
