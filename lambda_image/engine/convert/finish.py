"""What a bundle gets last, from its own quantized weights: the self-test's reference, and the KV cache of
each world's fixed prompt, in each of its languages."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from lambda_image.engine.bundle.load import Bundle, open_bundle
from lambda_image.engine.bundle.manifest import ENGINE, WEIGHTS, FileEntry, Manifest, Prefix, sha256_file
from lambda_image.engine.decoder import Decoder
from lambda_image.engine.generation.cache import KVCache, common_prefix
from lambda_image.engine.golden import make_golden
from lambda_image.engine.kernels import native_decoder
from lambda_image.engine.text.tokens import ChatTokenizer
from prologue.world import World, load_languages

CHUNK = 32  # tokens computed at a time
SAID = ("I look around.", "Wait, 7 bells?", "?")  # first words as unlike as can be


def editions(folders: Sequence[Path]) -> Iterator[tuple[str, World]]:
    """Each world in each of its languages, and its prefix's name: the world's, in a further language
    `NAME.LANG`. Raises WorldError."""
    for folder in folders:
        first, *others = load_languages(folder).values()
        yield first.name, first
        for world in others:
            yield f"{world.name}.{world.language}", world


def fixed_ids(world: World, tokenizer: ChatTokenizer) -> list[int]:
    """The ids that every prompt of `world` begins with, whatever the story facts and the first words are."""
    names = [question.id for question in world.questions]
    facts: list[dict[str, str]] = [{}, dict.fromkeys(names, "Zoë"), dict.fromkeys(names, "7 silver bells")]
    facts += [{name: "a tin fox"} for name in names]
    told = [[{"role": "system", "content": world.render_system(answers)}] for answers in facts]
    prompts = [
        tokenizer.encode_chat([*system, {"role": "user", "content": said}])
        for system in told
        for said in (world.opening_prompt, *SAID)
    ]
    first, *others = prompts
    return first[: min(common_prefix(first, other) for other in others)]


def write_prefix(
    edition: str, world: World, bundle: Bundle, decoder: Decoder, tokenizer: ChatTokenizer
) -> Prefix | None:
    """Computes a world's fixed prompt and writes its file; None if the prompts have nothing in common."""
    manifest = bundle.manifest
    ids = fixed_ids(world, tokenizer)[: manifest.context_length]
    if not ids:
        return None
    cache = KVCache(manifest.config, len(ids))
    for start in range(0, len(ids), CHUNK):
        decoder.forward(ids[start : start + CHUNK], cache)
    name = f"prefix-{edition}.kv"
    with (bundle.path / name).open("wb") as file:
        for array in (cache.keys, cache.values):
            file.write(np.ascontiguousarray(array, "<f2").data)
    return Prefix(
        file=name,
        ids=tuple(ids),
        dtype="float16",
        engine=ENGINE,
        weights_sha256=manifest.files[WEIGHTS].sha256,
    )


def finish_bundle(worlds: Sequence[Path]) -> Callable[[Path, Manifest], Manifest]:
    """What `write_bundle` does last: the self-test's reference, where the manifest has none yet, and the KV
    cache of each of `worlds`.
    """

    def finish(folder: Path, manifest: Manifest) -> Manifest:
        bundle = open_bundle(folder, manifest)
        golden = manifest.golden or make_golden(bundle, native_decoder(bundle, isa="portable"))
        tokenizer, decoder = ChatTokenizer.load(folder), native_decoder(bundle)
        files, prefixes = dict(manifest.files), dict(manifest.prefixes)
        for edition, world in editions(worlds):
            prefix = write_prefix(edition, world, bundle, decoder, tokenizer)
            if prefix is not None:
                written = folder / prefix.file
                prefixes[edition] = prefix
                files[prefix.file] = FileEntry(size=written.stat().st_size, sha256=sha256_file(written))
        return manifest.model_copy(update={"golden": golden, "files": files, "prefixes": prefixes})

    return finish
