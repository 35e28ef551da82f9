"""Cuts texts that are too long for one frame."""

from collections.abc import Iterator

from pydantic_core import to_json

from session.events import MAX_FRAME_BYTES

ROOM = MAX_FRAME_BYTES - 2048  # of a frame, for what it carries
_FIELDS = 512  # ids and numbers beside a text


def pieces(text: str) -> Iterator[str]:
    """The text in parts that each fit a frame, however much JSON makes of their characters."""
    if len(to_json(text)) <= ROOM - _FIELDS:
        yield text
        return
    middle = len(text) // 2
    yield from pieces(text[:middle])
    yield from pieces(text[middle:])
