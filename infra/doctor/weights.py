"""The models' bundles: built, of this engine, small enough; else whether they can be built here."""

import shutil
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from infra.doctor.finding import Finding, Level, blocks, ok, todo
from infra.doctor.tools import docker, run
from infra.doctor.wanted import Model, Wanted
from lambda_image.engine.bundle.manifest import WEIGHTS, read_manifest
from lambda_image.engine.convert.catalog import Entry
from lambda_image.engine.convert.finish import editions, fixed_ids
from lambda_image.engine.convert.hub import AccessError, FetchError, check_access
from lambda_image.engine.convert.reuse import holds
from lambda_image.engine.errors import BundleError, EngineError
from lambda_image.engine.text.tokens import ChatTokenizer
from prologue.world import WORLDS, WorldError

IMAGE_LIMIT = 10 * 2**30  # bytes, uncompressed: Lambda's docs
BESIDE_WEIGHTS = 450_000_000  # bytes of an image besides weights: the most that docs/image.md aims at
COPIES = 2  # of an image on the disk while it is built: the build's cache, and the image store
CHECKPOINT_BYTES = 2  # of each weight, as the hub has it (bfloat16)


def weights(wanted: Wanted, *, network: bool = True) -> Iterator[Finding]:
    """Every model's bundle, the licence of one that is still to be fetched, and room for it all."""
    for model in wanted.models:
        found = bundle(model)
        yield found
        if found.level is Level.OK:
            yield from worlds(model, wanted.options.worlds)
        elif model.entry is not None:
            yield licence(model.entry, network=network)
    yield disk(wanted)


def bundle(model: Model) -> Finding:
    """Whether `make model` has been run, for this version of the engine, and Lambda takes what came of it."""
    about, make = f"Bundle of {model.name}", _make(model)
    if not model.bundle.exists():
        return blocks(about, "not built yet", make)
    try:
        manifest = read_manifest(model.bundle)
    except BundleError:
        return blocks(about, "damaged, or of another version of Curtain", make)
    size = sum(file.size for name, file in manifest.files.items() if not (model.streamed and name == WEIGHTS))
    if size + BESIDE_WEIGHTS > IMAGE_LIMIT:
        return blocks(
            about,
            f"{size / 1e9:.1f} GB: with the rest of its image more than Lambda's {IMAGE_LIMIT / 1e9:.1f} GB",
            "take a smaller model (docs/models.md)",
        )
    return ok(about, f"{size / 1e9:.3f} GB" + (" in the image, its weights in S3" if model.streamed else ""))


def worlds(model: Model, names: Sequence[str]) -> Iterator[Finding]:
    """Says so where a world is new, or has changed, since the bundle was packed. What is damaged blocks."""
    about = f"Worlds in the bundle of {model.name}"
    try:
        manifest, tokenizer = read_manifest(model.bundle), ChatTokenizer.load(model.bundle)
        fixed = {
            edition: fixed_ids(world, tokenizer)[: manifest.context_length]
            for edition, world in editions([WORLDS / name for name in names])
        }
    except WorldError as error:
        yield blocks(about, str(error), "mend it (docs/worlds.md)")
        return
    except EngineError as error:
        yield blocks(about, str(error), _make(model))
        return
    if old := [edition for edition, ids in fixed.items() if not holds(manifest, {edition: ids})]:
        says = f"{', '.join(old)}: new, or changed since it was packed; stories there begin seconds later"
        yield todo(about, says, _make(model))


def _make(model: Model) -> str:
    return f"make model MODEL={model.name}" + ("" if model.entry else " SOURCE=folder-or-repository")


def licence(entry: Entry, *, network: bool = True) -> Finding:
    """Whether the model's checkpoint may be fetched: the publisher's consent, and the token that shows it."""
    from huggingface_hub import get_token

    about = f"Licence of {entry.name}"
    if entry.is_local:
        return ok(about, f"{entry.licence}; the model comes with Curtain")
    if entry.gated and not get_token():
        return blocks(
            about,
            f"{entry.licence}; the publisher asks for consent, and there is no token that shows yours",
            f"accept it on https://huggingface.co/{entry.source}, make a token that may read it "
            "(https://huggingface.co/settings/tokens), export HF_TOKEN=...",
        )
    if not network:
        return ok(about, f"{entry.licence}; whether the hub lets you read it was not asked")
    try:
        check_access(entry.source, str(entry.revision))
    except AccessError as error:
        return blocks(about, f"{entry.licence}; the hub refuses", str(error))
    except FetchError as error:
        return todo(about, f"{entry.licence}; the hub couldn't be asked", str(error))
    return ok(about, f"{entry.licence}; the hub lets you read it")


def disk(wanted: Wanted) -> Finding:
    """Whether checkpoints, bundles and images find room. What has been built isn't counted."""
    about, images = "Disk", _images()
    needed: dict[int, int] = defaultdict(int)  # bytes, by file system
    places: dict[int, Path] = {}
    for place, size in ((wanted.options.bundles, _to_build(wanted)), (images, _of_images(wanted))):
        if place is not None:
            existing = next(path for path in (place, *place.parents) if path.exists())
            places[existing.stat().st_dev] = existing
            needed[existing.stat().st_dev] += size
    for device, place in places.items():
        free = shutil.disk_usage(place).free
        if free < needed[device]:
            return blocks(
                about,
                f"{needed[device] / 1e9:.1f} GB are needed in {place}, {free / 1e9:.1f} GB are free",
                f"make room ({docker()} system prune), or take a smaller model",
            )
    says = f"{sum(needed.values()) / 1e9:.1f} GB are needed here, and free"
    if images is None:
        return todo(
            about,
            f"{says}; where Docker keeps images can't be seen from here",
            f"see that it has {_of_images(wanted) / 1e9:.1f} GB (Docker Desktop: Settings → Resources)",
        )
    return ok(about, says)


def _images() -> Path | None:
    """Where Docker keeps images, unless that is in a machine of its own."""
    root = run(docker(), "info", "--format", "{{.DockerRootDir}}")
    return Path(root) if root and Path(root).is_dir() else None


def _to_build(wanted: Wanted) -> int:
    entries = [model.entry for model in wanted.models if model.entry and not model.bundle.exists()]
    return sum(
        entry.bundle_bytes + (0 if entry.is_local else CHECKPOINT_BYTES * entry.parameters)
        for entry in entries
    )


def _of_images(wanted: Wanted) -> int:
    light = BESIDE_WEIGHTS
    in_images = sum(model.weights_bytes - model.streamed_bytes for model in wanted.models)
    return COPIES * (light + len(wanted.models) * BESIDE_WEIGHTS + in_images)
