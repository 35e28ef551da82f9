"""Ends a stream of text at the first stop string, none of which is ever let through."""

from collections.abc import Sequence


class StopStrings:
    """Holds text back while it could be the start of a stop string.

    The first stop string that is complete ends the text before it; of two that end together, the longer
    counts. How the text is cut into steps makes no difference.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        """ValueError if one of `stops` is empty."""
        if "" in stops:
            raise ValueError("a stop string is empty: leave it out")
        self.found = False
        self._stops = tuple(stops)
        self._held = ""

    def step(self, text: str) -> str:
        """What may be shown now that `text` has come; `found` tells whether it was the last."""
        text = self._held + text
        self._held = ""
        ends = [(start + len(stop), start) for stop in self._stops if (start := text.find(stop)) >= 0]
        if ends:
            self.found = True
            return text[: min(ends)[1]]
        hold = max((_overlap(text, stop) for stop in self._stops), default=0)
        self._held = text[len(text) - hold :]
        return text[: len(text) - hold]

    def flush(self) -> str:
        """What was held back, once no more text comes."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """The length of the longest end of `text` that `stop` begins with, less than all of it."""
    longest = min(len(text), len(stop) - 1)
    return next((length for length in range(longest, 0, -1) if text.endswith(stop[:length])), 0)
