"""A bundle of weights that another bundle holds already: other worlds, or another text of one.

Its large files are hard links, which cost nothing; only the worlds' prefixes are computed.
"""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from lambda_image.engine.bundle.manifest import MANIFEST, Manifest, check_sums, read_manifest
from lambda_image.engine.convert.growing import growing
from lambda_image.engine.errors import BundleError


def bundles_of(cache: Path, weights: str) -> Iterator[tuple[Path, Manifest]]:
    """The bundles in `cache` whose folders' names hold the key `weights`; damaged ones are passed over."""
    for path in sorted(cache.glob(f"*-{weights}-*")):
        try:
            yield path, read_manifest(path)
        except BundleError:
            continue


def holds(manifest: Manifest, fixed: Mapping[str, Sequence[int]]) -> bool:
    """Whether a bundle has a prefix of exactly these ids for each world that has any."""
    prefixes = {world: [*prefix.ids] for world, prefix in manifest.prefixes.items()}
    return all(prefixes.get(world, []) == [*ids] for world, ids in fixed.items())


def relink_bundle(
    old: Path,
    manifest: Manifest,
    out: Path,
    *,
    name: str,
    catalog: str | None,
    finish: Callable[[Path, Manifest], Manifest],
) -> Manifest:
    """Makes `out` of the weights, tokenizer and self-test of the bundle `old`; `finish` as in `write_bundle`.

    BundleError if a file of `old` isn't what was built: a link would hand the damage on. OSError if the disk
    fills up. Either leaves nothing behind.
    """
    prefixes = {prefix.file for prefix in manifest.prefixes.values()}
    files = {file: entry for file, entry in manifest.files.items() if file not in prefixes}
    check_sums(old, manifest, files)
    with growing(out) as partial:
        for file in files:
            _link(old / file, partial / file)
        bare = {"name": name, "catalog": catalog, "files": files, "prefixes": {}}
        manifest = finish(partial, manifest.model_copy(update=bare))
        (partial / MANIFEST).write_text(manifest.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return manifest


def _link(old: Path, new: Path) -> None:
    try:
        os.link(old, new)
    except OSError:  # a file system without links
        shutil.copyfile(old, new)
