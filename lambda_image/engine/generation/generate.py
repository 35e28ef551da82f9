"""Prompt ids to a stream of text: chunked prefill, then one token at a time.

Clock, randomness and the wish to stop are passed in.
"""

from collections.abc import Callable, Collection, Generator

import torch

from lambda_image.engine.aten.model import KVCache
from lambda_image.engine.generation.reply import Piece, ReplyEnd, ReplyMetrics
from lambda_image.engine.generation.sampling import Sampler
from lambda_image.engine.text.tokens import Detokenizer

# Prompt tokens between two looks at should_stop. An 8B model prefills about 15 tokens/s on Lambda's six
# cores, so 16 take about a second, and ATen's cost per prompt row is flat from 4 rows on, so small chunks
# lose little. A constant, not a measurement: chunk borders touch the last bits of the logits, and a seed must
# give the same text every time.
PREFILL_CHUNK = 16


def generate(
    forward: Callable[[list[int], KVCache], torch.Tensor],
    cache: KVCache,
    prompt: list[int],
    *,
    sampler: Sampler,
    detokenizer: Detokenizer,
    eos_ids: Collection[int],
    max_tokens: int,
    should_stop: Callable[[], bool],
    clock: Callable[[], float],
    began: float,
    dropped_turns: int,
) -> Generator[Piece, None, None]:
    """A piece per token; the last piece has the end. `began` is the clock when the reply was asked for.

    `forward` is `Llama.forward`: it appends ids to the cache and returns the logits after the last.

    The prompt must leave room in the cache. What the cache holds of it already is not computed again;
    `cache.ids` is true at every yield, so an abandoned reply leaves a usable cache.
    """
    metrics = ReplyMetrics(prompt_tokens=len(prompt), dropped_turns=dropped_turns)
    metrics.kv_reused_tokens = cache.keep_prefix(prompt[:-1])  # the last token's logits are needed
    if max_tokens < 1:
        yield Piece("", ReplyEnd("length", metrics))
        return

    # 1) Prefill what the cache doesn't hold
    while len(cache.ids) < len(prompt):
        if should_stop():
            yield Piece("", ReplyEnd("cancelled", metrics))
            return
        start = clock()
        logits = forward(prompt[len(cache.ids) :][:PREFILL_CHUNK], cache)
        metrics.prefill_s += clock() - start

    # 2) Decode
    token = sampler(logits)
    metrics.ttft_s = clock() - began
    while True:
        metrics.completion_tokens += 1
        if token in eos_ids:
            yield Piece("", ReplyEnd("stop", metrics))
            return
        text = detokenizer.step(token)
        if metrics.completion_tokens == max_tokens or len(cache.ids) == cache.capacity:
            yield Piece(text, ReplyEnd("length", metrics))
            return
        yield Piece(text)
        if should_stop():
            yield Piece("", ReplyEnd("cancelled", metrics))
            return
        start = clock()
        token = sampler(forward([token], cache))
        metrics.decode_s += clock() - start
