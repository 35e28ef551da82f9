"""Weighs the evidence: how sure is it that an FAQ entry answers a text?

Fitted when the index is built, to phrasings against decoys, each judged without itself and without whatever
is almost the same: as a text that nobody thought of will be. Three fits, the same each time: which entry
embedding and wording speak for (ridge), which words are Curtain's (ridge, over their embeddings), and what
each piece of evidence weighs (logistic regression).
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING
from zlib import crc32

from prologue.faq.evidence import Evidence
from prologue.faq.guard import Guard
from prologue.faq.reading import Reading
from prologue.faq.wording import joined

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

NEAREST = 128  # rows that are looked at
ALMOST = 0.85  # cosine: rows nearer than that are left out with the text itself
RIDGE = 2.0
FOLDS = 5  # of texts with the same content words: a fit to the others says what it would make of them
BLOCK = 512  # rows compared at once
STEPS = 30  # of Newton's method
Embed = Callable[[list[str]], "NDArray[np.float32]"]
PLAIN = 0.2  # of -1 (of stories) to 1 (of Curtain): how far on this side a word must lie


@dataclass(frozen=True)
class Fit:
    """`linear` [WIDTH + BUCKETS + 1, entries + 1], `words` [WIDTH + 1]; of the evidence `mean`, `scale`,
    `weights`.
    """

    linear: "Array"
    words: "Array"
    mean: "Array"
    scale: "Array"
    weights: "Array"


class Judge:
    """`readings`, `entries`: of the rows of the index."""

    def __init__(
        self, fit: Fit, guard: Guard, entries: Sequence[int], readings: Sequence[Reading | None], embed: Embed
    ) -> None:
        self._fit = fit
        self._evidence = Evidence(entries, readings, guard.words, guard.meanings)
        self._word = lru_cache(1024)(lambda said: float((_with_one(embed([said])) @ fit.words)[0]))

    def likely(self, word: str, said: str) -> float:
        """Whether the word is one of Curtain's: 1, of a story: -1, or something between."""
        side = self._evidence.side(word)
        return self._word(said) if side is None else side

    def plain(self, said: str) -> bool:
        """Whether no story's question hangs on the word."""
        return self._word(said) > PLAIN

    def __call__(
        self, text: Reading, vector: "NDArray[np.float32]", found: Sequence[tuple[float, int]]
    ) -> tuple[int, float] | None:
        """The entry that comes nearest, and how sure that is (log odds); None where none comes near."""
        linear = (_with_one(joined(vector[None], [text])[0]) @ self._fit.linear).tolist()
        weighed = self._evidence.weighed(text, found, linear, self.likely)
        if weighed is None:
            return None
        entry, evidence = weighed
        scaled = (evidence - self._fit.mean) / self._fit.scale
        return entry, float(_with_one(scaled) @ self._fit.weights)


def fit(
    vectors: "NDArray[np.float32]",
    entries: Sequence[int],
    readings: Sequence[Reading | None],
    guard: Guard,
    embed: Embed,
) -> Fit:
    """The fits for an index of `vectors`, whose rows are of `entries` and read as `readings`."""
    import numpy as np

    rows = np.arange(len(entries))
    wanted = np.zeros((len(entries), max(entries) + 2))
    wanted[rows, np.asarray(entries)] = 1  # DECOY is the last
    linear, without = _ridge(_with_one(joined(vectors, readings)), wanted, list(map(_family, readings)))
    evidence = Evidence(entries, readings, guard.words, guard.meanings)

    said = {word: spoken for reading in readings if reading for word, spoken in reading.said.items()}
    words = sorted(said)
    of_words = _with_one(embed([said[word] for word in words]))
    sides = np.array([evidence.side(word) or 0.0 for word in words])
    weights, guesses = _ridge(of_words, sides[:, None], [crc32(word.encode()) for word in words])
    guess = dict(zip(words, guesses[:, 0].tolist(), strict=True))

    found, right = [], []
    for row, reading in enumerate(readings):
        if row % BLOCK == 0:
            block = vectors[row : row + BLOCK] @ vectors.T
        if reading is None:
            continue

        def likely(word: str, _: str, row: int = row) -> float:
            side = evidence.side(word, row)
            return guess[word] if side is None else side

        scores = block[row % BLOCK]
        scores[(scores > ALMOST) | (rows == row)] = -1
        nearest = np.argpartition(-scores, NEAREST)[:NEAREST] if len(rows) > NEAREST else rows
        nearest = nearest[np.argsort(-scores[nearest], kind="stable")]
        near = [(float(scores[at]), int(at)) for at in nearest if scores[at] > -1]
        if near and (weighed := evidence.weighed(reading, near, without[row].tolist(), likely, row)):
            found.append(weighed[1])
            right.append(weighed[0] == entries[row])
    mean, scale, learned = _logistic(np.array(found), np.array(right, float))
    return Fit(linear, weights[:, 0], mean, scale, learned)


def _with_one(rows: "NDArray[np.floating]") -> "Array":
    import numpy as np

    return np.concatenate([rows, np.ones((*rows.shape[:-1], 1))], axis=-1).astype(np.float64)


def _family(reading: Reading | None) -> int:
    """The same of texts with the same content words, which hardly differ."""
    return crc32(" ".join(sorted(reading.content)).encode()) if reading else 0


def _ridge(rows: "Array", wanted: "Array", families: list[int]) -> tuple["Array", "Array"]:
    """The weights, and what they would make of each row, had its fold of the families not been there."""
    import numpy as np

    square, target = rows.T @ rows + RIDGE * np.eye(rows.shape[1]), rows.T @ wanted
    guesses, folds = np.empty_like(wanted), np.array(families) % FOLDS
    for fold in range(FOLDS):
        mine = folds == fold
        part = rows[mine]
        guesses[mine] = part @ np.linalg.solve(square - part.T @ part, target - part.T @ wanted[mine])
    return np.asarray(np.linalg.solve(square, target), np.float64), guesses


def _logistic(rows: "Array", right: "Array") -> tuple["Array", "Array", "Array"]:
    """Mean and scale of `rows`, and the weights of what is scaled, the constant last."""
    import numpy as np

    mean, scale = rows.mean(axis=0), rows.std(axis=0) + 1e-9
    scaled = _with_one((rows - mean) / scale)
    weights, calm = np.zeros(scaled.shape[1]), np.eye(scaled.shape[1])
    calm[-1, -1] = 1e-9  # the constant is free
    for _ in range(STEPS):
        guess = 1 / (1 + np.exp(-scaled @ weights))
        slope = scaled.T @ (guess - right) + calm @ weights
        weights -= np.linalg.solve(scaled.T @ (scaled * (guess * (1 - guess))[:, None]) + calm, slope)
    return mean, np.asarray(scale, np.float64), weights


def save(path: Path, fitted: Fit, readings: Sequence[Reading | None]) -> None:
    """What `load` reads, at once or not at all."""
    import numpy as np

    read = [r and [r.text, r.ask, r.negative, sorted(r.content)] for r in readings]
    scratch = path.with_name(f".{path.name}")
    with scratch.open("wb") as file:
        np.savez(file, readings=np.frombuffer(json.dumps(read).encode(), np.uint8), **vars(fitted))
    scratch.replace(path)


def load(path: Path) -> tuple[Fit, list[Reading | None]]:
    import numpy as np

    with np.load(path) as stored:
        read = json.loads(stored["readings"].tobytes())
        parts = {name: stored[name] for name in Fit.__dataclass_fields__}
    return Fit(**parts), [r and Reading(r[0], r[1], r[2], frozenset(r[3])) for r in read]
