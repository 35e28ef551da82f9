"""What speaks for and against a text's being what an FAQ entry answers, as numbers that can be weighed.

Taken from the rows of the index that lie nearest, and from which words are used by whom. The same code runs
over the phrasings and decoys themselves, each left out of what it is judged by, to learn the weights.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from math import log

from prologue.faq.reading import REQUEST, TOLD, Reading, Words

DECOY = -1  # in place of an entry's number
VOTES = 12  # nearest rows that vote for an entry
PRIOR = 2e-4  # share of texts that use a word, before any was seen
HALF = 0.5  # of a text: the same, for what is asked for
STRANGE = 6  # words that the entry does not use and that are looked at
Likely = Callable[[str, str], float]


class Evidence:
    """Args:
    entries: of each row of the index the number of its entry, or DECOY.
    readings: of each row.
    words: of the language. meanings: a word's stem and those of its synonyms, as in `readings`.
    """

    def __init__(
        self,
        entries: Sequence[int],
        readings: Sequence[Reading | None],
        words: Words,
        meanings: Callable[[Sequence[str]], frozenset[str]],
    ) -> None:
        self._entries, self._readings = entries, readings
        self._rivals = [meanings(row) for row in words.rivals]
        self._others = meanings(tuple(words.others))
        self._used: dict[int, Counter[str]] = {entry: Counter() for entry in set(entries)}
        self._asks: dict[int, Counter[str]] = {entry: Counter() for entry in set(entries)}
        self._asked, self._told = Counter[str](), Counter[str]()
        for entry, reading in zip(entries, readings, strict=True):
            if reading:
                self._used[entry].update(reading.content)
                self._asks[entry][reading.ask] += 1
                (self._told if entry == DECOY else self._asked).update(reading.content)
        decoys = sum(entry == DECOY for entry in entries)
        self._texts, self._decoys = max(1, len(entries) - decoys), max(1, decoys)

    def side(self, word: str, left_out: int | None = None) -> float | None:
        """1 for a word that phrasings use, -1 for one that only decoys do, None for one that nobody uses."""
        asked, told = self._counts(word, left_out)
        return 1.0 if asked else -1.0 if told else None

    def weighed(
        self,
        text: Reading,
        found: Sequence[tuple[float, int]],
        linear: Sequence[float],
        likely: Likely,
        left_out: int | None = None,
    ) -> tuple[int, list[float]] | None:
        """The entry that is likeliest, and what speaks for and against it; None where none comes near.

        Args:
            found: (cosine, row), nearest first. linear: of each entry, and of decoys last.
            likely: of a word (its stem, as it was said): whether it is one of Curtain's, from -1 to 1.
            left_out: the row that is `text` itself.
        """
        agreeing = [(score, row) for score, row in found if self._agrees(text, row)]
        nearest_of = dict[int, tuple[float, int]]()
        for score, row in agreeing:
            nearest_of.setdefault(self._entries[row], (score, row))
        nearest_of.pop(DECOY, None)
        if not nearest_of:
            return None
        entry = max(nearest_of, key=lambda number: nearest_of[number][0] + linear[number])
        first, floor = nearest_of[entry], found[-1][0]
        mine = [score for score, row in agreeing if self._entries[row] == entry]
        theirs = [score for score, row in agreeing if self._entries[row] not in (entry, DECOY)]
        decoys = [score for score, row in found if self._entries[row] == DECOY]
        nearest = [self._entries[row] for _, row in found[:VOTES]]
        return entry, [
            first[0],
            _mean(mine, 3, floor),
            theirs[0] if theirs else floor,
            decoys[0] if decoys else floor,
            _mean(decoys, 8, floor),
            nearest.count(entry) / VOTES,
            linear[entry],
            linear[-1],
            *self._of_words(text, entry, first[1], likely, left_out),
        ]

    def _agrees(self, text: Reading, row: int) -> bool:
        """Opposites have different answers, however near they lie: this is no matter of weight."""
        reading = self._readings[row]
        return self._entries[row] == DECOY or (reading is not None and reading.negative == text.negative)

    def _of_words(
        self, text: Reading, entry: int, row: int, likely: Likely, left_out: int | None
    ) -> list[float]:
        like = reading.content if (reading := self._readings[row]) else frozenset[str]()
        own = left_out is not None and self._entries[left_out] == entry
        known = {word for word in text.content if self._used[entry][word] > own}
        strange = sorted(text.content - known)
        sides = [likely(word, text.said.get(word, word)) for word in strange[:STRANGE]]
        size, counts = len(text.content), [self._counts(word, left_out) for word in text.content]
        odds = [log((a / self._texts + PRIOR) / (t / self._decoys + PRIOR)) for a, t in counts]
        asks, total = self._asks[entry], sum(self._asks[entry].values())
        rivals = any(row & like and row & text.content - like for row in self._rivals)
        return [
            sum(odds) / size,
            len(known) / size,
            sum(not any(pair) for pair in counts) / size,
            log((asks[text.ask] - own + HALF) / total),
            float(text.ask.startswith(TOLD)),
            float(text.ask == REQUEST),
            float(text.negative),
            float(size == 1),
            min(sides, default=1.0),
            float(len(strange)),
            sum(sides) / len(sides) if sides else 1.0,
            float(rivals),
            float(bool(text.content & self._others - like)),
            len(text.content & like) / len(text.content | like),
            len(text.content & like) / max(1, len(like)),
            float(size),
        ]

    def _counts(self, word: str, left_out: int | None) -> tuple[int, int]:
        """How many phrasings and decoys use it, besides the one that is left out."""
        asked, told = self._asked[word], self._told[word]
        if left_out is not None and (reading := self._readings[left_out]) and word in reading.content:
            decoy = self._entries[left_out] == DECOY
            asked, told = asked - (not decoy), told - decoy
        return asked, told


def _mean(scores: list[float], count: int, floor: float) -> float:
    return sum([*scores[:count], *[floor] * (count - len(scores))]) / count
