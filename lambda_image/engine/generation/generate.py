"""Prompt ids to a stream of text: chunked prefill, then one token at a time.

Clock, randomness and the wish to stop are passed in.
"""

from collections.abc import Callable, Collection, Generator, Sequence
from typing import Protocol

from lambda_image.engine.decoder import Decoder
from lambda_image.engine.generation import speculation
from lambda_image.engine.generation.cache import KVCache, common_prefix
from lambda_image.engine.generation.loops import LoopDetector
from lambda_image.engine.generation.pace import Pace
from lambda_image.engine.generation.reply import FinishReason, Piece, ReplyEnd, ReplyMetrics
from lambda_image.engine.generation.sampling import Sampler
from lambda_image.engine.generation.stops import StopStrings


class Detokenizer(Protocol):
    """Token ids to text as they come."""

    def step(self, token: int) -> str:
        """The text that `token` completes; "" while a character is unfinished."""


def generate(
    decoder: Decoder,
    cache: KVCache,
    prompt: Sequence[int],
    *,
    sampler: Sampler,
    detokenizer: Detokenizer,
    eos_ids: Collection[int],
    max_tokens: int,
    stop: Sequence[str] = (),
    should_stop: Callable[[], bool],
    clock: Callable[[], float],
    began: float,
    kv_lost_tokens: int = 0,
    dropped_turns: int,
    budget_dropped_turns: int = 0,
    speculate: int = 0,
    pace: Pace | None = None,
) -> Generator[Piece, None, None]:
    """A piece per token; the last piece has the end. `began` is the clock when the reply was asked for.

    The prompt, of one token at least, must leave room in the cache. What the cache holds of it already is not
    computed again; `cache.ids` is true at every yield, so an abandoned reply leaves a usable cache. Text that
    could become one of the `stop` strings comes late, and not at all if it does. `should_stop` is asked
    between prefill chunks, sized by `pace`, and between tokens; `speculate` is how many tokens are guessed
    ahead at most. `kv_lost_tokens` are those that the cache lost before.
    """
    pace = pace or Pace()
    text, loops, said = StopStrings(stop), LoopDetector(), list[int]()
    common, before = common_prefix(prompt, cache.ids), len(cache.ids)
    metrics = ReplyMetrics(
        prompt_tokens=len(prompt),
        dropped_turns=dropped_turns,
        budget_dropped_turns=budget_dropped_turns,
        kv_reused_tokens=cache.keep_prefix(prompt[:-1]),  # the last token's logits are needed
        kv_lost_tokens=kv_lost_tokens + before - common,
    )

    def last(reason: FinishReason, shown: str = "") -> Piece:
        return Piece(shown, ReplyEnd(reason, metrics, tuple(said)))

    if max_tokens < 1:
        yield last("length")
        return

    # 1) Prefill what the cache doesn't hold
    while len(cache.ids) < len(prompt):
        if should_stop():
            yield last("cancelled")
            return
        chunk = prompt[len(cache.ids) :][: pace.chunk()]
        start = clock()
        logits = decoder.forward(chunk, cache)
        seconds = clock() - start
        pace.add(len(chunk), seconds)
        metrics.prefill_tokens += len(chunk)
        metrics.prefill_s += seconds

    # 2) Decode
    sampler.start(prompt)
    token = sampler(logits)
    metrics.ttft_s = clock() - began
    following = speculation.decode(
        decoder, cache, sampler, prompt, token, tokens=max_tokens - 1, speculate=speculate, metrics=metrics
    )
    while True:
        said.append(token)
        metrics.completion_tokens += 1
        if token in eos_ids:
            yield last("stop", text.flush())
            return
        shown = text.step(detokenizer.step(token))
        if text.found:
            yield last("stop", shown)
            return
        if metrics.completion_tokens == max_tokens or len(cache.ids) == cache.capacity:
            yield last("length", shown + text.flush())
            return
        if loops.push(token):
            yield last("loop", shown + text.flush())
            return
        yield Piece(shown)
        if should_stop():
            yield last("cancelled", text.flush())
            return
        start = clock()
        token = next(following)
        metrics.decode_s += clock() - start
