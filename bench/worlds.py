"""The KV cache of a made-up world in a random bundle, as `engine.prefix` writes it for a real one."""

from pathlib import Path

from bench.story import Messages
from lambda_image.engine.bundle.load import open_bundle
from lambda_image.engine.bundle.manifest import ENGINE, MANIFEST, WEIGHTS, FileEntry, Prefix, sha256_file
from lambda_image.engine.generation.cache import KVCache, common_prefix
from lambda_image.engine.kernels import open_decoder
from lambda_image.engine.text.tokens import ChatTokenizer

CHUNK = 32  # tokens


def add_world(bundle: Path, messages: Messages) -> int:
    """Computes what every story with the system message of `messages` begins with, unless it is there.

    Returns how many tokens that is.
    """
    opened = open_bundle(bundle)
    manifest, tokenizer = opened.manifest, ChatTokenizer.load(bundle)
    other = [messages[0], {"role": "user", "content": "Wait, 7 bells?"}]
    first, second = (tokenizer.encode_chat(told) for told in (messages, other))
    ids = first[: common_prefix(first, second)]
    known = manifest.prefixes.get("bench")
    if known is not None and known.ids == tuple(ids):
        return len(ids)
    print(f"computing the world's prompt, {len(ids)} tokens", flush=True)
    decoder, cache = open_decoder(opened), KVCache(manifest.config, len(ids))
    for start in range(0, len(ids), CHUNK):
        decoder.forward(ids[start : start + CHUNK], cache)
    file = bundle / "prefix-bench.kv"
    file.write_bytes(cache.keys.tobytes() + cache.values.tobytes())
    prefix = Prefix(
        file=file.name,
        ids=tuple(ids),
        dtype="float16",
        engine=ENGINE,
        weights_sha256=manifest.files[WEIGHTS].sha256,
    )
    files = manifest.files | {file.name: FileEntry(size=file.stat().st_size, sha256=sha256_file(file))}
    changed = manifest.model_copy(update={"prefixes": {"bench": prefix}, "files": files})
    (bundle / MANIFEST).write_text(changed.model_dump_json(), encoding="utf-8")
    return len(ids)
