"""Answers questions about Curtain from a world's FAQ, without the model."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prologue.faq.embedder import Embedder
from prologue.faq.guard import Guard
from prologue.faq.index import known_words, load_index
from prologue.faq.plainness import load_plainness
from prologue.faq.reading import TOLD, Words
from prologue.faq.spelling import WORD

if TYPE_CHECKING:
    from prologue.world import FaqEntry, World

NEAREST = 64  # rows that the guard judges, nearest first


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
        embedder = Embedder.load(cache_dir)
        plain = load_plainness(cache_dir, *known_words(words, world), embedder)
        guard = Guard(words, world.faq, knows=embedder.knows, plain=plain)
        return cls(world, Near(embedder, load_index(cache_dir, world), guard, words.threshold, world.faq))

    def match(self, text: str) -> Match | None:
        if entry := self._same.get(_bare(text)):
            return Match(entry.id, entry.answer, 1.0)
        return self._near(text) if self._near else None


class Near:
    """The entry with the phrasing that lies nearest to a text, of those that the guard allows."""

    def __init__(
        self, embedder: Embedder, index: Any, guard: Guard, threshold: float, faq: Sequence["FaqEntry"]
    ) -> None:
        self._embedder = embedder
        self._index = index
        self._threshold = threshold
        self._guard = guard
        self._entries = [entry for entry in faq for _ in entry.phrasings]

    def __call__(self, text: str) -> Match | None:
        reading = self._guard.read(text)
        if reading is None:
            return None
        # A missing question mark costs up to 0.2, so that every question gets one.
        text = text if reading.ask.startswith(TOLD) else reading.text + "?"
        for score, row in self.search(text):
            if score < self._threshold or row >= len(self._entries):  # too far, or a decoy is nearer
                return None
            if self._guard.allows(reading, row, score):
                entry = self._entries[row]
                return Match(entry.id, entry.answer, score)
        return None

    def search(self, text: str) -> list[tuple[float, int]]:
        """(cosine, row) of the rows of the index nearest to `text`."""
        scores, rows = self._index.search(self._embedder(text)[None], min(NEAREST, self._index.ntotal))
        found = zip(scores[0].tolist(), rows[0].tolist(), strict=True)
        return [(score, row) for score, row in found if row >= 0]  # -1 stands for none


def _bare(text: str) -> str:
    """The words of `text` alone."""
    return " ".join(WORD.findall(unicodedata.normalize("NFKC", text).casefold()))
