"""The index of a world's FAQ: unit vectors, searched by inner product.

First a row per phrasing, in the file's order, then a row per decoy: what is said in stories, or asked about
something else. A text that lies nearer to a decoy than to a phrasing is not for the FAQ.
"""

import json
import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from threading import get_ident
from typing import TYPE_CHECKING, Any

from prologue.faq.embedder import WIDTH, Embedder, NotBuiltError, embedder_key
from prologue.faq.evidence import DECOY
from prologue.faq.guard import Guard
from prologue.faq.judge import fit, save
from prologue.faq.reading import TOLD, Reading, Words
from prologue.faq.vectors import Vectors

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from prologue.world import World

FLAT_BELOW = (
    12_000  # rows: a search of all of them takes a millisecond; above, only clusters nearby are searched
)
RECIPE = "4"  # changes with what is made of the texts, so that older files are not taken for its own
PROBED = 16  # clusters that are searched


def phrasings(world: "World") -> list[str]:
    """Every phrasing of every entry; the row of one in the index is its place here."""
    return [phrasing for entry in world.faq for phrasing in entry.phrasings]


def decoys(language: str) -> list[str]:
    """The lines of decoys.LANG.txt, without comments; none for a language that has no such file."""
    path = Path(__file__).with_name(f"decoys.{language}.txt")
    lines = path.read_text("utf-8").splitlines() if path.is_file() else []
    return [line for line in lines if line and not line.startswith("#")]


def index_path(cache_dir: Path, world: "World") -> Path:
    words = Words.path(world.language)
    known = [words.read_text("utf-8") if words.is_file() else "", phrasings(world), decoys(world.language)]
    key = json.dumps([embedder_key(), RECIPE, FLAT_BELOW, PROBED, *known, [e.id for e in world.faq]])
    return cache_dir / f"faq-{world.name}-{sha256(key.encode()).hexdigest()[:16]}.index"


def judge_path(index: Path) -> Path:
    return index.with_suffix(".judge.npz")


def _files(cache_dir: Path, world: "World") -> list[Path]:
    """The index, and its judge where the language has words to judge by."""
    index = index_path(cache_dir, world)
    return [index, judge_path(index)] if Words.path(world.language).is_file() else [index]


def rows(world: "World") -> list[int]:
    """Of each row of the world's index the number of its entry, or DECOY."""
    entries = [number for number, entry in enumerate(world.faq) for _ in entry.phrasings]
    return entries + [DECOY] * len(decoys(world.language))


def as_embedded(text: str, reading: Reading | None) -> str:
    """A missing question mark costs a cosine of up to 0.2, so that every question gets one."""
    return text if reading is None or reading.ask.startswith(TOLD) else reading.text + "?"


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


def ensure_index(
    cache_dir: Path,
    world: "World",
    progress: Callable[[int, int], None] = lambda done, of: None,
    *,
    vectors_dir: Path | None = None,
) -> Path:
    """The world's index in `cache_dir`, made if it is not there, with its judge. Raises SourceError.

    Args:
        progress: told of texts that are embedded, of how many.
        vectors_dir: where embeddings are kept for other indexes; by itself `cache_dir`.
    """
    target = index_path(cache_dir, world)
    if all(file.is_file() for file in _files(cache_dir, world)):
        return target
    import faiss

    from prologue.faq.convert import ensure_embedder

    ensure_embedder(cache_dir)
    embedder = Embedder.load(cache_dir)
    embed = Vectors(embedder, vectors_dir or cache_dir).many
    texts = phrasings(world) + decoys(world.language)
    if words := Words.load(world.language):
        guard = Guard(words, world.faq, knows=embedder.knows)
        readings = [guard.read(text) for text in texts]
        vectors = embed(list(map(as_embedded, texts, readings)), progress)
        fitted = fit(vectors, rows(world), readings, guard, embed)
        save(judge_path(target), fitted, readings)
    else:
        vectors = embed(texts, progress)
    scratch = target.with_name(f".{target.name}.{os.getpid()}.{get_ident()}")
    faiss.write_index(make_index(vectors), str(scratch))
    scratch.replace(target)  # last, because nothing is made again once it is there
    return target


def load_index(cache_dir: Path, world: "World") -> Any:
    """The faiss index of `phrasings(world)` and its decoys. Raises NotBuiltError, also for its judge."""
    for file in _files(cache_dir, world):
        if not file.is_file():
            raise NotBuiltError(file, cache_dir)
    import faiss

    return faiss.read_index(str(index_path(cache_dir, world)))
