"""The index of a world's FAQ: unit vectors, searched by inner product.

First a row per phrasing, in the file's order, then a row per decoy: what is said in stories, or asked about
something else. A text that lies nearer to a decoy than to a phrasing is not for the FAQ.
"""

import json
import os
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prologue.faq.embedder import WIDTH, Embedder, NotBuiltError, embedder_key
from prologue.faq.plainness import ensure_plainness, plainness_path
from prologue.faq.reading import Reader, Words, stem

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from prologue.world import World

FLAT_BELOW = (
    10_000  # rows: a search of all of them takes a millisecond; above, only clusters nearby are searched
)
PROBED = 16  # clusters that are searched


def phrasings(world: "World") -> list[str]:
    """Every phrasing of every entry; the row of one in the index is its place here."""
    return [phrasing for entry in world.faq for phrasing in entry.phrasings]


def decoys(language: str) -> list[str]:
    """The lines of decoys.LANG.txt, without comments; none for a language that has no such file."""
    path = Path(__file__).with_name(f"decoys.{language}.txt")
    lines = path.read_text("utf-8").splitlines() if path.is_file() else []
    return [line for line in lines if line and not line.startswith("#")]


def known_words(words: Words, world: "World") -> tuple[list[str], list[str]]:
    """The words that are known to be plain, and those of stories: what only decoys use."""
    reader = Reader(words)
    plain = {word for word in words.plain if reader.meaning(word) == stem(word)}
    asked = reader.meanings((*words.topics, *words.plain)).union(
        *(reading.content for text in phrasings(world) if (reading := reader.read(text)))
    )
    told = dict[str, str]()
    for text in decoys(world.language):
        told |= reading.said if (reading := reader.read(text)) else {}
    return sorted(plain), sorted(
        word for meaning, word in told.items() if meaning not in asked and len(word) > 2
    )


def index_path(cache_dir: Path, world: "World") -> Path:
    texts = json.dumps([embedder_key(), FLAT_BELOW, PROBED, phrasings(world), decoys(world.language)])
    return cache_dir / f"faq-{world.name}-{sha256(texts.encode()).hexdigest()[:16]}.index"


def make_index(vectors: "NDArray[np.float32]") -> Any:
    """A faiss index of unit vectors [n, WIDTH]: exact while that is fast, else by clusters."""
    import faiss

    if len(vectors) < FLAT_BELOW:
        index: Any = faiss.IndexFlatIP(WIDTH)
    else:
        clusters = round(4 * len(vectors) ** 0.5)
        index = faiss.index_factory(WIDTH, f"IVF{clusters},Flat", faiss.METRIC_INNER_PRODUCT)
        index.nprobe = PROBED
        index.train(vectors)
    index.add(vectors)
    return index


def ensure_index(cache_dir: Path, world: "World") -> Path:
    """The world's index in `cache_dir`, made if it is not there. Raises SourceError (see build)."""
    target = index_path(cache_dir, world)
    words = Words.load(world.language)
    if target.is_file() and (not words or plainness_path(cache_dir, *known_words(words, world)).is_file()):
        return target
    import faiss
    import numpy as np

    from prologue.faq.build import ensure_embedder

    ensure_embedder(cache_dir)
    if words:
        ensure_plainness(cache_dir, *known_words(words, world))
    embedder = Embedder.load(cache_dir)
    texts = phrasings(world) + decoys(world.language)
    index = make_index(np.stack([embedder(text) for text in texts]))
    scratch = target.with_name(f".{target.name}.{os.getpid()}")
    faiss.write_index(index, str(scratch))
    scratch.replace(target)
    return target


def load_index(cache_dir: Path, world: "World") -> Any:
    """The faiss index of `phrasings(world)` and its decoys. Raises NotBuiltError."""
    path = index_path(cache_dir, world)
    if not path.is_file():
        raise NotBuiltError(path, cache_dir)
    import faiss

    return faiss.read_index(str(path))
