"""Token ids to text as they come."""

from collections.abc import Sequence

from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream


class Detokenizer:
    """One reply's: only whole characters, control tokens left out. It remembers what it was given.

    A reply that goes on from `text` goes on from its `ids`: what follows may depend on them.
    """

    def __init__(self, tokenizer: Tokenizer, ids: Sequence[int] = (), text: str = "") -> None:
        self._tokenizer = tokenizer
        self._stream = DecodeStream(skip_special_tokens=True)
        for token in ids:
            self._stream.step(tokenizer, token)
        self.ids = list(ids)
        self.ends = [0] * (len(ids) - 1) + [len(text)] * bool(ids)  # characters there were after each id
        self._pieces = [text]

    @property
    def text(self) -> str:
        """All of it so far."""
        return "".join(self._pieces)

    def step(self, token: int) -> str:
        """The text that `token` completes; "" while a character is unfinished."""
        piece = self._stream.step(self._tokenizer, token) or ""
        self.ids.append(token)
        self._pieces.append(piece)
        self.ends.append((self.ends[-1] if self.ends else 0) + len(piece))
        return piece
