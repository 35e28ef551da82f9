"""A text in plain lower-case words: contractions and shorthand written out, slips of the fingers mended."""

import re
import unicodedata
from collections.abc import Callable, Collection, Mapping
from string import ascii_lowercase

WORD = re.compile(r"[^\W_]+")
SHORT = re.compile(r"[\w/]+")
MOST = 24  # letters of a word that may have been misspelt: in a longer one there are too many to try
EXPANSIONS = [
    (re.compile(pattern), expansion)
    for pattern, expansion in (
        (r"[’ʼ`]", "'"),
        (r"\bhow 2\b", "how to"),
        (r"\bhow come\b", "why"),
        (r"\b\w+[ -]years?[ -]olds?\b", "child"),
        (r"(?<=\w)-(?=\w)", " "),
        (r"\b(?:cannot|can't)\b", "can not"),
        (r"\bwon't\b", "will not"),
        (r"n't\b", " not"),
        (r"'re\b", " are"),
        (r"'m\b", " am"),
        (r"'ll\b", " will"),
        (r"'d\b", " would"),
        (r"'ve\b", " have"),
        (r"\b(what|who|where|when|how|why|it|that|there|here)'s\b", r"\1 is"),
        (r"'s\b", ""),
    )
]


class Spelling:
    """Args:
    shorthand: what is written for a word.
    meant: the words that a misspelt one may have been.
    knows: whether there is such a word in English; one that there is was not misspelt.
    least: letters of a word that may have been misspelt; a slip in a shorter one makes too many others.
    """

    def __init__(
        self,
        shorthand: Mapping[str, str],
        meant: Collection[str],
        knows: Callable[[str], bool],
        least: int = 4,
    ) -> None:
        self._least = least
        self._shorthand = shorthand
        self._meant = meant
        self._knows = knows

    def __call__(self, text: str) -> str:
        text = unicodedata.normalize("NFKC", text).casefold()
        text = SHORT.sub(lambda found: self._shorthand.get(found[0], found[0]), text)
        for pattern, expansion in EXPANSIONS:
            text = pattern.sub(expansion, text)
        return WORD.sub(lambda found: self._mended(found[0]), text)

    def _mended(self, word: str) -> str:
        """`word`, or the only one of `meant` that is one slip away from it."""
        if not self._least <= len(word) <= MOST or word in self._meant or self._knows(word):
            return word
        found = {other for other in slips(word) if len(other) >= self._least and other in self._meant}
        return found.pop() if len(found) == 1 else word


def slips(word: str) -> set[str]:
    """What one letter too many, too few, changed, or swapped with its neighbour makes of `word`."""
    parts = [(word[:at], word[at:]) for at in range(len(word) + 1)]
    fewer = {left + right[1:] for left, right in parts if right}
    swapped = {left + right[1] + right[0] + right[2:] for left, right in parts if len(right) > 1}
    changed = {left + letter + right[1:] for left, right in parts if right for letter in ascii_lowercase}
    more = {left + letter + right for left, right in parts for letter in ascii_lowercase}
    return fewer | swapped | changed | more
