"""A text's embedding and, beside it, its wording: words, pairs of them, what is asked about what.

An embedding hardly hears whether it is "the boat" or "my story"; the wording does, but knows no synonyms.
Each piece of it adds to or takes from one of so many buckets, by its hash (feature hashing, Weinberger et al.
2009), so that no vocabulary has to be stored.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise
from typing import TYPE_CHECKING
from zlib import crc32

from prologue.faq.reading import Reading

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BUCKETS = 1024
WEIGHT = 0.8  # of the wording's length, beside an embedding's of 1
ADDS = 0x80000000  # the bit of a hash that says so


def wording(text: Reading) -> Iterator[str]:
    """The pieces of a text's wording, each under a name of its own."""
    words, content = text.text.split(), sorted(text.content)
    yield from words
    yield from map(" ".join, pairwise(("^", *words, "$")))
    yield f"? {text.ask} {text.negative}"
    for word in content:
        yield f"= {word}"
        yield f"? {text.ask} {word}"
    yield from (f"= {one} {other}" for one, other in combinations(content, 2))


def joined(vectors: "NDArray[np.float32]", texts: Sequence[Reading | None]) -> "NDArray[np.float64]":
    """[texts, WIDTH + BUCKETS]: each text's embedding and its wording."""
    import numpy as np

    found = np.zeros((len(texts), BUCKETS))
    for row, text in enumerate(texts):
        for piece in wording(text) if text else ():
            hashed = crc32(piece.encode())
            found[row, hashed % BUCKETS] += 1 if hashed & ADDS else -1
    length = np.linalg.norm(found, axis=1, keepdims=True)
    return np.concatenate([vectors, WEIGHT * found / np.maximum(length, 1)], axis=1)
