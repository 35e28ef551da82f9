"""Token ids to text as they come."""

from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream


class Detokenizer:
    """One reply's: only whole characters, control tokens left out. It remembers what it was given."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._stream = DecodeStream(skip_special_tokens=True)
        self.ids: list[int] = []
        self.ends: list[int] = []  # characters there were after each id
        self._pieces: list[str] = []

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
