"""What this environment has said: a reply's text to the very ids that made it.

Encoding a reply's text again may give other ids than the model chose, and then the KV cache of the reply is
lost. So a conversation's history is put together from the generated ids wherever they are known.
"""

from bisect import bisect_left
from collections import deque

from lambda_image.engine.text.stream import Detokenizer

REPLIES = 32  # remembered: more than the replies that one context holds in most stories


class Replies:
    """The last replies, newest found first."""

    def __init__(self, replies: int = REPLIES) -> None:
        self._said: deque[Detokenizer] = deque(maxlen=replies)

    def add(self, reply: Detokenizer) -> None:
        """From now on, also while it is still growing."""
        self._said.append(reply)

    def ids(self, text: str) -> list[int] | None:
        """The ids that were decoded to `text`, a whole reply or one cut short between two pieces."""
        if not text:
            return None
        for reply in reversed(self._said):
            if reply.text.startswith(text):
                count = bisect_left(reply.ends, len(text))
                if reply.ends[count] == len(text):
                    return reply.ids[: count + 1]
        return None
