"""The index of a world's FAQ: a unit vector per phrasing, in the file's order, searched by inner product."""

import json
import os
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prologue.faq.embedder import WIDTH, Embedder, NotBuiltError, embedder_key

if TYPE_CHECKING:
    from prologue.world import World


def phrasings(world: "World") -> list[str]:
    """Every phrasing of every entry; the row of one in the index is its place here."""
    return [phrasing for entry in world.faq for phrasing in entry.phrasings]


def index_path(cache_dir: Path, world: "World") -> Path:
    texts = json.dumps([embedder_key(), phrasings(world)])
    return cache_dir / f"faq-{world.name}-{sha256(texts.encode()).hexdigest()[:16]}.index"


def ensure_index(cache_dir: Path, world: "World") -> Path:
    """The world's index in `cache_dir`, made if it is not there. Raises SourceError (see build)."""
    target = index_path(cache_dir, world)
    if target.is_file():
        return target
    import faiss
    import numpy as np

    from prologue.faq.build import ensure_embedder

    ensure_embedder(cache_dir)
    embedder = Embedder.load(cache_dir)
    index = faiss.IndexFlatIP(WIDTH)
    index.add(np.stack([embedder(phrasing) for phrasing in phrasings(world)]))
    scratch = target.with_name(f".{target.name}.{os.getpid()}")
    faiss.write_index(index, str(scratch))
    scratch.replace(target)
    return target


def load_index(cache_dir: Path, world: "World") -> Any:
    """The faiss.IndexFlatIP over `phrasings(world)`. Raises NotBuiltError."""
    path = index_path(cache_dir, world)
    if not path.is_file():
        raise NotBuiltError(path, cache_dir)
    import faiss

    return faiss.read_index(str(path))
