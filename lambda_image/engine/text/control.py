"""Control tokens in texts: where they are, and how to read them as the characters that spell them."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tokenizers import AddedToken, Tokenizer, normalizers, pre_tokenizers


class ControlTokens:
    """Finds control tokens in a text."""

    def __init__(self, tokenizer: Tokenizer, tokens: Mapping[int, AddedToken]) -> None:
        self._tokenizer = tokenizer
        self._ids = tokens.keys()
        longest_first = sorted((token.content for token in tokens.values()), key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first)) or "(?!)")
        # Behind a normalizer other spellings are read as a control token too: only the tokenizer knows them.
        self._folds = tokenizer.normalizer is not None and any(token.normalized for token in tokens.values())

    def find(self, text: str) -> int:
        """Where the first one begins; the text's length if there is none."""
        found = self._pattern.search(text)
        return found.start() if found else len(text)

    def split(self, text: str) -> Iterator[tuple[str, str]]:
        """(text, control token after it), in order; the last one's control token is ""."""
        end = 0
        for start, stop in sorted(self._spans(text)):
            if start >= end and start < stop:
                yield text[end:start], text[start:stop]
                end = stop
        yield text[end:], ""

    def _spans(self, text: str) -> Iterable[tuple[int, int]]:
        yield from (match.span() for match in self._pattern.finditer(text))
        if self._folds:
            encoding = self._tokenizer.encode(text, add_special_tokens=False)
            yield from (
                span
                for number, span in zip(encoding.ids, encoding.offsets, strict=True)
                if number in self._ids
            )


def plain_tokenizer(tokenizer: Tokenizer) -> Tokenizer:
    """The same one without added tokens, which never puts a space before a text. It shares the model."""
    plain = Tokenizer(tokenizer.model)
    steps, splitters = _steps(tokenizer.normalizer), _steps(tokenizer.pre_tokenizer)
    if steps:
        kept = [step for step in steps if not isinstance(step, normalizers.Prepend)]
        plain.normalizer = normalizers.Sequence(kept)
    if splitters:
        plain.pre_tokenizer = pre_tokenizers.Sequence([_without_prefix(part) for part in splitters])
    return plain


def _without_prefix(part: pre_tokenizers.PreTokenizer) -> pre_tokenizers.PreTokenizer:
    if isinstance(part, pre_tokenizers.Metaspace):
        return pre_tokenizers.Metaspace(
            replacement=part.replacement, prepend_scheme="never", split=part.split
        )
    if isinstance(part, pre_tokenizers.ByteLevel):
        return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=part.use_regex)
    return part


def _steps(component: Any) -> list[Any]:
    """What a tokenizer's component consists of."""
    parts = [] if component is None else [component]
    sequences = (normalizers.Sequence, pre_tokenizers.Sequence)
    return list(component) if isinstance(component, sequences) else parts  # type: ignore[call-overload]
