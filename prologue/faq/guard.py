"""Whether a text asks what a phrasing asks, judged by its words: the embedding's opinion is not enough.

Opposites lie close together for an embedding ("open source", "closed source"), and so do a question about
Curtain and one about the story ("How long do I have to wait?", "... for the boat?"). So the text must ask for
the same kind of thing, agree in polarity, have enough of the phrasing's content words, and hold none that its
FAQ entry does not know. Pure: no model, no I/O.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from prologue.faq.reading import REQUEST, WHETHER, Reader, Reading, Words

if TYPE_CHECKING:
    from prologue.world import FaqEntry

UNREADABLE = Reading("", "", False, frozenset())  # shares no word with anything


class Guard:
    """Judges texts against the phrasings of one FAQ, which are numbered as in its index."""

    def __init__(self, words: Words, faq: Sequence["FaqEntry"]) -> None:
        self._words = words
        self._reader = Reader(words)
        self._rivals = [{self._reader.meaning(word) for word in row} for row in words.rivals]
        self._topics = {self._reader.meaning(word) for word in words.topics}
        self._phrasings: list[tuple[Reading, list[Reading]]] = []  # each with all of its entry
        for entry in faq:
            readings = [self._reader.read(phrasing) or UNREADABLE for phrasing in entry.phrasings]
            self._phrasings += [(reading, readings) for reading in readings]

    def read(self, text: str) -> Reading | None:
        """None for a text that asks for none of the phrasings, whatever an embedding would say."""
        reading = self._reader.read(text)
        if reading and any(self.allows(reading, number, 1.0) for number in range(len(self._phrasings))):
            return reading
        return None

    def allows(self, text: Reading, phrasing: int, score: float) -> bool:
        """Whether the answer to phrasing number `phrasing`, at cosine `score`, answers the text."""
        like, entry = self._phrasings[phrasing]
        strange = text.content.difference(self._topics, *(reading.content for reading in entry))
        forgiven = score >= self._words.sure and len(strange) == 1 and not strange & self._words.others
        asked = {word for reading in entry if reading.ask == text.ask for word in reading.content}
        return (
            (text.ask in (WHETHER, REQUEST) or bool(asked & text.content))
            and text.negative == like.negative
            and (text.ask == like.ask or not text.negative)
            and self._overlaps(text.content, like.content)
            and self._overlaps(text.content - self._topics, like.content - self._topics)
            and (forgiven or not strange)
            and not any(
                row & like.content and row & text.content - like.content - asked for row in self._rivals
            )
        )

    def _overlaps(self, text: frozenset[str], like: frozenset[str]) -> bool:
        return len(text & like) >= self._words.overlap * len(like) if like else not text
