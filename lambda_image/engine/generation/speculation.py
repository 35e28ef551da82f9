"""Prompt-lookup speculation: what followed the last tokens when they came before may well follow now.

A forward pass over a few tokens reads the weights once, as one over a single token does. Lossless: each token
is the one that the sampler draws from the model's logits, one draw per token, so a seed gives the same text
with and without, on kernels whose results don't depend on how tokens are grouped (the native ones).
"""

from collections.abc import Generator, Sequence

from lambda_image.engine.decoder import Decoder
from lambda_image.engine.generation.cache import KVCache
from lambda_image.engine.generation.reply import ReplyMetrics
from lambda_image.engine.generation.sampling import Sampler

NGRAM = 3  # tokens that must have come before: of two, every "of the" would propose something


class Lookup:
    """Where each n-gram of a growing sequence of tokens came last."""

    def __init__(self, ids: Sequence[int]) -> None:
        self._ids: list[int] = []
        self._after: dict[tuple[int, ...], int] = {}  # n-gram to the index after it, but for the latest one
        for token in ids:
            self.push(token)

    def push(self, token: int) -> None:
        """Notes the next token."""
        if len(self._ids) >= NGRAM:
            self._after[tuple(self._ids[-NGRAM:])] = len(self._ids)
        self._ids.append(token)

    def propose(self, most: int) -> list[int]:
        """At most `most` tokens that followed the last n-gram when it came before; often none."""
        after = self._after.get(tuple(self._ids[-NGRAM:]))
        return [] if after is None else self._ids[after:][: max(most, 0)]


def decode(
    decoder: Decoder,
    cache: KVCache,
    sampler: Sampler,
    prompt: Sequence[int],
    token: int,
    *,
    tokens: int,
    speculate: int,
    metrics: ReplyMetrics,
) -> Generator[int, None, None]:
    """The tokens after `token`, which is the first of the reply to `prompt`; `tokens` of them at most.

    At most `speculate` are proposed at a time, none if it is 0, and counted in `metrics`. Whenever a token is
    yielded, `cache.ids` holds all before it, and not it. Proposals keep within the cache's capacity; the
    caller stops when it is full.
    """
    lookup = Lookup([*prompt, token]) if speculate else None
    while tokens > 0:
        room = min(speculate, tokens - 1, cache.capacity - len(cache.ids) - 1)
        proposal = lookup.propose(room) if lookup else []
        if proposal:
            rows = decoder.forward([token, *proposal], cache, every_position=True)
            del cache.ids[len(cache.ids) - len(proposal) :]  # each comes back once it is drawn
            metrics.speculated_tokens += len(proposal)
        else:
            rows = decoder.forward([token], cache)[None]
        for row, proposed in zip(rows, [*proposal, None], strict=True):
            token = sampler(row)
            tokens -= 1
            if lookup:
                lookup.push(token)
            metrics.accepted_tokens += token == proposed
            yield token
            if token != proposed:
                break
            cache.ids.append(token)
