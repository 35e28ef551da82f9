"""Notices a model that has begun to repeat itself without end."""

import numpy as np

# Longest cycle that is looked for, in tokens: small models loop over a word, a sentence or a paragraph.
LONGEST = 128
# A cycle must have come this often, and fill this many tokens, one copy right after the other and without a
# single other token. Refrains, chants and lists stay below: a verse stands between refrains, a chanted line
# of 10 tokens may come 12 times. A loop over one sentence ends after about 100 words, one over the longest
# paragraph after 512 tokens.
CYCLES = 4
TOKENS = 128


class LoopDetector:
    """Told every token of one reply, in order."""

    def __init__(self) -> None:
        periods = np.arange(1, LONGEST + 1)
        self._recent = np.full(LONGEST, -1)  # the latest tokens, newest first
        self._matches = np.zeros(LONGEST, np.int64)  # per period: tokens in a row like those a period ago
        self._enough = np.maximum(CYCLES * periods, TOKENS) - periods

    def push(self, token: int) -> bool:
        """Whether the reply is in a loop after `token`."""
        self._matches += 1
        self._matches[self._recent != token] = 0
        self._recent[1:] = self._recent[:-1].copy()
        self._recent[0] = token
        return bool((self._matches >= self._enough).any())
