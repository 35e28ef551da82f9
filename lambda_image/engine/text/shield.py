"""Marks inside messages that pass through a chat template unchanged, for what must not be encoded as text.

A mark is a number between two copies of a character that the messages don't hold. Templates trim and split
contents, but they can't tell a mark from a word.
"""

import re
from collections.abc import Sequence

from lambda_image.engine.errors import PromptError

PRIVATE_USE = range(0xF0000, 0x10FFFE)  # planes 15 and 16: no text needs all of these characters


class Marks:
    """The marks of one prompt. PromptError if `texts` leave no character for them."""

    def __init__(self, texts: Sequence[str]) -> None:
        used = set().union(*texts)
        free = next((chr(code) for code in PRIVATE_USE if chr(code) not in used), None)
        if free is None:
            raise PromptError("the messages hold every private-use character there is: remove one")
        self._bar = free
        self._count = 0

    def new(self) -> str:
        """A mark unlike the ones before; its number counts from 0."""
        mark, self._count = f"{self._bar}{self._count}{self._bar}", self._count + 1
        return mark

    def split(self, text: str) -> tuple[str, list[tuple[int, str]]]:
        """The text before the first mark, then each mark's number with the text that follows it."""
        first, *rest = re.split(f"{self._bar}([0-9]+){self._bar}", text)
        return first, list(zip(map(int, rest[::2]), rest[1::2], strict=True))


def well_formed(text: str) -> str:
    """`text` with surrogate pairs joined and lone surrogates, which are no characters, replaced by U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
