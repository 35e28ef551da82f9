"""Answers questions about Curtain from a world's FAQ, without the model."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prologue.faq.embedder import Embedder
from prologue.faq.guard import Guard
from prologue.faq.index import as_embedded, index_path, judge_path, load_index, rows
from prologue.faq.judge import NEAREST, Judge, load
from prologue.faq.reading import Reading, Words
from prologue.faq.spelling import WORD

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from prologue.world import FaqEntry, World


@dataclass(frozen=True)
class Match:
    """`score`: cosine between the text and the phrasing that answered; 1 where they are the same words."""

    entry_id: str
    answer: str
    score: float


class Matcher:
    """The entry that a text asks for, or nothing: a false answer is worse than leaving it to the model.

    In a language without a words.LANG.toml nothing can tell a question from its opposite, so that only a
    phrasing itself is answered, whatever its case and punctuation.
    """

    def __init__(self, world: "World", near: "Near | None") -> None:
        self._near = near
        self._same = {_bare(phrasing): entry for entry in world.faq for phrasing in entry.phrasings}

    @classmethod
    def load(cls, cache_dir: Path, world: "World") -> "Matcher":
        """Loads the libraries too, so nothing is left for the first match. Raises NotBuiltError."""
        words = Words.load(world.language)
        if words is None:
            return cls(world, None)
        embedder, index = Embedder.load(cache_dir), load_index(cache_dir, world)
        fitted, readings = load(judge_path(index_path(cache_dir, world)))
        guard = Guard(words, world.faq, knows=embedder.knows, plain=lambda said: judge.plain(said))
        judge = Judge(fitted, guard, rows(world), readings, embedder.many)
        return cls(world, Near(embedder, index, guard, judge, world.faq))

    def match(self, text: str) -> Match | None:
        if entry := self._same.get(_bare(text)):
            return Match(entry.id, entry.answer, 1.0)
        return self._near(text) if self._near else None


class Near:
    """The entry that judge and guard agree on, or that the judge alone is sure of.

    Without a judge the guard decides alone.
    """

    def __init__(
        self, embedder: Embedder, index: Any, guard: Guard, judge: Judge | None, faq: Sequence["FaqEntry"]
    ) -> None:
        self._embedder = embedder
        self._index = index
        self._guard, self._judge = guard, judge
        self._words = guard.words
        self._faq = faq
        self._entries = [number for number, entry in enumerate(faq) for _ in entry.phrasings]

    def __call__(self, text: str) -> Match | None:
        reading = self._guard.read(text)
        if reading is None:
            return None
        vector = self._embedder(as_embedded(text, reading))
        found = self.search(vector)
        if self._judge is None:
            return self._match(found, self._allowed(reading, found))
        judged = self._judge(reading, vector, found)
        if judged is None or judged[1] < self._words.judge_least:
            return None
        entry, sure = judged
        if sure < self._words.judge_sure and self._allowed(reading, found) != entry:
            return None
        return self._match(found, entry)

    def search(self, vector: "NDArray[np.float32]") -> list[tuple[float, int]]:
        """(cosine, row) of the rows of the index nearest to `vector`."""
        scores, rows = self._index.search(vector[None], min(NEAREST, self._index.ntotal))
        found = zip(scores[0].tolist(), rows[0].tolist(), strict=True)
        return [(score, row) for score, row in found if row >= 0]  # -1 stands for none

    def _allowed(self, reading: Reading, found: list[tuple[float, int]]) -> int | None:
        """The entry with the nearest phrasing of those that the guard allows."""
        for score, row in found:
            if score < self._words.threshold or row >= len(self._entries):  # too far, or a decoy is nearer
                return None
            if self._guard.allows(reading, row, score):
                return self._entries[row]
        return None

    def _match(self, found: list[tuple[float, int]], number: int | None) -> Match | None:
        if number is None:
            return None
        of_phrasings = ((score, row) for score, row in found if row < len(self._entries))
        score = next(score for score, row in of_phrasings if self._entries[row] == number)
        return Match(self._faq[number].id, self._faq[number].answer, score)


def _bare(text: str) -> str:
    """The words of `text` alone."""
    return " ".join(WORD.findall(unicodedata.normalize("NFKC", text).casefold()))
