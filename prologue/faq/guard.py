"""Whether a text asks what a phrasing asks, judged by its words: the embedding's opinion is not enough.

Opposites lie close together for an embedding ("open source", "closed source"), and so do a question about
Curtain and one about the story ("How long do I have to wait?", "... for the boat?"). So the text must ask for
the same kind of thing, agree in polarity, have enough of the phrasing's content words, and hold none that its
FAQ entry does not know, but for a few that make no other question of it. Pure: no model, no I/O.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prologue.faq.reading import REQUEST, WHETHER, Reader, Reading, Words

if TYPE_CHECKING:
    from prologue.world import FaqEntry

UNREADABLE = Reading("", "", False, frozenset())  # shares no word with anything


@dataclass(frozen=True)
class _Entry:
    """The words of one FAQ entry: of each phrasing, of all, of all that ask for the same kind of thing."""

    readings: list[Reading]
    known: frozenset[str]
    asked: dict[str, frozenset[str]]


class Guard:
    """Judges texts against the phrasings of one FAQ, which are numbered as in its index.

    `knows`: whether there is such a word in English, so that a misspelt one can be told. `plain`: whether
    a word that isn't listed is one that no story's question hangs on.
    """

    def __init__(
        self,
        words: Words,
        faq: Sequence["FaqEntry"],
        *,
        knows: Callable[[str], bool] = lambda _: True,
        plain: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self.words = words
        self._faq = faq
        self._reader = Reader(words, [phrasing for entry in faq for phrasing in entry.phrasings], knows)
        self.meanings = meanings = self._reader.meanings
        self._topics, self._others, self._telling = map(meanings, (words.topics, words.others, words.telling))
        stems = map(self._reader.stem, words.plain)
        self._plain = frozenset(word for word in stems if self._reader.meaning(word) == word)
        self._is_plain = plain
        self._rivals = [meanings(row) for row in words.rivals]
        self._places = [
            (number, at) for number, entry in enumerate(faq) for at in range(len(entry.phrasings))
        ]
        self._entries: dict[int, _Entry] = {}  # those that were needed so far

    def read(self, text: str) -> Reading | None:
        """None for what cannot be a question about Curtain, whatever an embedding would say."""
        return self._reader.read(text)

    def allows(self, text: Reading, phrasing: int, score: float) -> bool:
        """Whether the answer to phrasing number `phrasing`, at cosine `score`, answers the text."""
        number, at = self._places[phrasing]
        entry = self._entry(number)
        like = entry.readings[at]
        asked = entry.asked.get(text.ask, frozenset())
        shared = text.content & like.content
        thin = len(shared - self._topics) <= 1 and not shared & self._telling
        return (
            (score >= self.words.thin or not thin)
            and (text.ask in (WHETHER, REQUEST) or bool(asked & text.content))
            and (like.ask != "why" or text.ask in ("why", REQUEST))
            and text.negative == like.negative
            and (text.ask == like.ask or not text.negative)
            and self._overlaps(text.content, like.content)
            and self._overlaps(text.content - self._topics, like.content - self._topics)
            and self._forgives(text, text.content - self._topics - entry.known, score)
            and not any(
                row & like.content and row & text.content - like.content - asked for row in self._rivals
            )
        )

    def _entry(self, number: int) -> _Entry:
        if number not in self._entries:
            readings = [self.read(phrasing) or UNREADABLE for phrasing in self._faq[number].phrasings]
            asked = defaultdict[str, frozenset[str]](frozenset)
            for reading in readings:
                asked[reading.ask] |= reading.content
            self._entries[number] = _Entry(readings, frozenset[str]().union(*asked.values()), dict(asked))
        return self._entries[number]

    def _forgives(self, text: Reading, strange: frozenset[str], score: float) -> bool:
        """Whether the embedding is so sure that words which the entry does not know can be let pass."""
        if strange and score >= self.words.plain_sure and len(strange) <= self.words.plain_words + 1:
            plain = {word for word in strange if word in self._plain or self._is_plain(text.said[word])}
            strange = strange - plain if len(plain) <= self.words.plain_words else strange
        return not strange or (score >= self.words.sure and len(strange) == 1 and not strange & self._others)

    def _overlaps(self, text: frozenset[str], like: frozenset[str]) -> bool:
        return len(text & like) >= self.words.overlap * len(like) if like else not text
