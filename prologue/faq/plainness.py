"""Which words name nothing that a story could be about, guessed from words whose kind is known.

A weighing of a word's embedding, fitted at build time to the `plain` words of words.LANG.toml and to the
words that only decoys use ("boat", "gate"). So "involved" passes as plain though nobody listed it, and
"carousel" doesn't.
"""

import os
from collections.abc import Callable, Sequence
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from prologue.faq.embedder import Embedder, NotBuiltError, embedder_key

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RIDGE = 1.0
SURE = 0.2  # of -1 (plain) to 1 (of stories): how far on the plain side a word must lie


def plainness_path(cache_dir: Path, plain: Sequence[str], told: Sequence[str]) -> Path:
    key = sha256("\n".join((embedder_key(), str(RIDGE), *plain, "", *told)).encode()).hexdigest()[:16]
    return cache_dir / f"plainness-{key}.npy"


def fit(vectors: "NDArray[np.float32]", plain: int) -> "NDArray[np.float32]":
    """Ridge regression to -1 for the first `plain` rows and 1 for the others; both kinds count the same."""
    import numpy as np

    rows = np.c_[vectors, np.ones(len(vectors))].astype(np.float64)
    first = np.arange(len(rows)) < plain
    weights = np.where(first, 0.5 / plain, 0.5 / (len(rows) - plain)) * len(rows)
    square = rows.T @ (rows * weights[:, None]) + RIDGE * np.eye(rows.shape[1])
    return np.linalg.solve(square, rows.T @ (weights * np.where(first, -1, 1))).astype(np.float32)


def ensure_plainness(cache_dir: Path, plain: Sequence[str], told: Sequence[str]) -> Path:
    target = plainness_path(cache_dir, plain, told)
    if not target.is_file():
        import numpy as np

        embedder = Embedder.load(cache_dir)
        found = fit(np.stack([embedder(word) for word in (*plain, *told)]), len(plain))
        scratch = target.with_name(f".{os.getpid()}.{target.name}")
        np.save(scratch, found)
        scratch.replace(target)
    return target


def load_plainness(
    cache_dir: Path, plain: Sequence[str], told: Sequence[str], embedder: Embedder
) -> Callable[[str], bool]:
    """Whether a word is plain. Raises NotBuiltError."""
    path = plainness_path(cache_dir, plain, told)
    if not path.is_file():
        raise NotBuiltError(path, cache_dir)
    import numpy as np

    *weights, bias = np.load(path)
    direction = np.array(weights, np.float32)
    stories = frozenset(told)

    @lru_cache(maxsize=1024)
    def is_plain(word: str) -> bool:
        return word not in stories and float(embedder(word) @ direction) + bias < -SURE

    return is_plain
