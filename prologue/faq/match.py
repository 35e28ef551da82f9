"""Answers questions about Curtain from a world's FAQ, without the model."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prologue.faq.embedder import Embedder
from prologue.faq.guard import Guard
from prologue.faq.index import load_index
from prologue.faq.reading import TOLD, Words

if TYPE_CHECKING:
    from prologue.world import World


@dataclass(frozen=True)
class Match:
    """`score`: cosine between the text and the phrasing that answered."""

    entry_id: str
    answer: str
    score: float


class Matcher:
    """The entry that a text asks for, or nothing: a false answer is worse than leaving it to the model."""

    def __init__(self, embedder: Embedder, index: Any, world: "World") -> None:
        self._embedder = embedder
        self._index = index
        self._entries = [entry for entry in world.faq for _ in entry.phrasings]
        self._words = Words.load()
        self._guard = Guard(self._words, world.faq)

    @classmethod
    def load(cls, cache_dir: Path, world: "World") -> "Matcher":
        """Loads the libraries too, so nothing is left for the first match. Raises NotBuiltError."""
        return cls(Embedder.load(cache_dir), load_index(cache_dir, world), world)

    def match(self, text: str) -> Match | None:
        reading = self._guard.read(text)  # most of what is said in a story ends here, in a millisecond
        if reading is None:
            return None
        # A missing question mark costs up to 0.2, so that every question gets one.
        text = text if reading.ask.startswith(TOLD) else reading.text + "?"
        scores, numbers = self._index.search(self._embedder(text)[None], self._index.ntotal)
        for score, number in zip(scores[0].tolist(), numbers[0].tolist(), strict=True):
            if score < self._words.threshold:
                break
            if self._guard.allows(reading, number, score):
                entry = self._entries[number]
                return Match(entry.id, entry.answer, score)
        return None
