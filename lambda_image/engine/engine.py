"""One loaded model that replies to conversations, one at a time."""

import logging
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypedDict, Unpack

from tokenizers import Tokenizer

from lambda_image.engine import golden
from lambda_image.engine.about import about
from lambda_image.engine.bundle.config import Sampling
from lambda_image.engine.bundle.load import Bundle, open_bundle
from lambda_image.engine.bundle.manifest import REBUILD, WEIGHTS, check_sums
from lambda_image.engine.bundle.readahead import ReadAhead
from lambda_image.engine.bundle.reading import Reading
from lambda_image.engine.decoder import Decoder
from lambda_image.engine.errors import BundleError, CheckpointError
from lambda_image.engine.generation.cache import KVCache, common_prefix
from lambda_image.engine.generation.context import fit
from lambda_image.engine.generation.generate import generate
from lambda_image.engine.generation.pace import Pace
from lambda_image.engine.generation.reply import Piece
from lambda_image.engine.generation.sampling import Sampler
from lambda_image.engine.kernels import open_decoder
from lambda_image.engine.prefix import Prefixes
from lambda_image.engine.text.replies import Replies
from lambda_image.engine.text.tokens import ChatTokenizer

PROMPT_SHARE = 0.75  # of the context that a prompt may fill where max_tokens asks for more room than the rest
PROMPT_S = 30  # seconds of prefill at most, before the oldest turns are left out
# The self-test's rate sees no head, and no weights that are read for the first time: on 1 billion weights
# the first real prompt was 2.5 times slower. Half of it, so that nobody waits long; then it is measured.
GUESS = 0.5

log = logging.getLogger(__name__)


class SamplingOptions(TypedDict, total=False):
    """Fields of `Sampling` for one reply; None and what is left out are the model's own."""

    temperature: float | None
    top_k: int | None
    top_p: float | None
    min_p: float | None
    repetition_penalty: float | None
    logit_bias: dict[int, float] | None


class Engine:
    """A model ready to reply. `first_layer_s` is how long the self-test's tokens took, if there was one."""

    def __init__(
        self,
        bundle: Bundle,
        decoder: Decoder,
        tokenizer: ChatTokenizer,
        prefixes: Prefixes,
        *,
        load_s: float,
        first_layer_s: float | None,
        clock: Callable[[], float],
    ) -> None:
        manifest = bundle.manifest
        self.name = manifest.name
        self.context_length = manifest.context_length
        self.load_s = load_s
        self._bundle = bundle
        self._decoder = decoder
        self._tokenizer = tokenizer
        self._generation = manifest.generation
        try:
            self._cache = KVCache(manifest.config, self.context_length)
        except (MemoryError, ValueError):  # ValueError: more than numpy can count
            raise BundleError(
                f"{bundle.path}: no memory for keys and values of {self.context_length} tokens: "
                f"give it more, or {REBUILD} with a shorter context"
            ) from None
        self._prefixes = prefixes
        self._replies = Replies()
        self._guess: float | None = None  # prefill rate, tokens/s
        if first_layer_s:
            self._guess = golden.IDS / (first_layer_s * manifest.config.num_hidden_layers)
        self._pace = Pace(self._guess)
        self._clock = clock
        self._running: Generator[Piece, None, None] | None = None

    @classmethod
    def load(
        cls,
        bundle: Path,
        reading: Reading | None = None,
        threads: int | None = None,
        *,
        tokenizer: Tokenizer | None = None,
        kernels: str | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> "Engine":
        """Blocks until the bundle's bytes are read (by `reading`, started before, or by one of its own) and
        the model is usable and has passed the self-test of its first layer.

        `threads` compute; if not given, one for a small model, else as many as there are cores. `tokenizer`
        is the bundle's where it has been parsed before. `kernels` is as in `kernels.py`. BundleError if the
        bundle can't be served here, EngineError if there are no kernels.
        """
        began = clock()
        if reading is None:
            reading = ahead = ReadAhead(bundle / WEIGHTS)
            ahead.start()
        opened = open_bundle(bundle, memory=reading.memory)
        decoder = open_decoder(opened, threads=threads, setting=kernels)
        try:
            # What is mapped is too large to be summed at every load: the self-tests look at it.
            check_sums(bundle, opened.manifest, opened.manifest.files.keys() - opened.manifest.mapped)
            chat, prefixes = ChatTokenizer.load(bundle, tokenizer), Prefixes(opened)
            reading.wait()
        except (CheckpointError, OSError) as error:
            raise BundleError(f"{bundle} can't be loaded ({error}): {REBUILD}") from None
        opened.check_edges()
        first_layer_s = golden.check_first_layer(opened, decoder)
        load_s = clock() - began
        return cls(opened, decoder, chat, prefixes, load_s=load_s, first_layer_s=first_layer_s, clock=clock)

    def reply(
        self,
        messages: Sequence[Mapping[str, str]],
        *,
        seed: int,
        max_tokens: int | None = None,
        stop: Sequence[str] = (),
        should_stop: Callable[[], bool] = lambda: False,
        continued: str = "",
        speculate: int = 0,
        **sampling: Unpack[SamplingOptions],
    ) -> Iterator[Piece]:
        """Streams the assistant's next message; the last piece has the end and the metrics.

        `messages` are dicts of `role` (system, user, assistant) and `content`. What isn't given is the
        model's own default. `continued` is what the message begins with: the reply goes on from there, and
        streams only what follows. `speculate` is how many tokens are guessed ahead at most. An earlier reply
        that is still open is closed. Raises before the first piece: PromptError, ValueError for sampling out
        of range.
        """
        began = self._clock()
        drawing = Sampling.model_validate(
            self._generation.sampling.model_dump()
            | {name: v for name, v in sampling.items() if v is not None}
        )
        if max_tokens is None:
            max_tokens = self._generation.max_new_tokens
        if self._running is not None:
            self._running.close()
        begun = self._replies.ids(continued) or self._tokenizer.encode_plain(continued)
        fitted = fit(
            messages,
            lambda told: self._tokenizer.encode_chat(told, self._replies.ids) + begun,
            max(self.context_length - max(max_tokens, 0), int(self.context_length * PROMPT_SHARE)),
            budget=self.prompt_budget,
            reusable=self._reusable,
        )
        if fitted.budget_dropped_turns:
            log.warning(
                "%d turns left out: this environment computes %d prompt tokens in %d s",
                fitted.budget_dropped_turns,
                self.prompt_budget,
                PROMPT_S,
            )
        replaced = self._prefixes.fill(self._cache, fitted.ids)
        detokenizer = self._tokenizer.detokenizer(begun, continued)
        self._replies.add(detokenizer)
        self._running = generate(
            self._decoder,
            self._cache,
            fitted.ids,
            sampler=Sampler(drawing, seed),
            detokenizer=detokenizer,
            eos_ids=self._generation.eos_token_ids,
            max_tokens=max_tokens,
            stop=stop,
            should_stop=should_stop,
            clock=self._clock,
            began=began,
            kv_lost_tokens=replaced,
            dropped_turns=fitted.dropped_turns,
            budget_dropped_turns=fitted.budget_dropped_turns,
            speculate=speculate,
            pace=self._pace,
        )
        return self._running

    @property
    def prompt_budget(self) -> int | None:
        """Prompt tokens that may be computed before a reply, at the measured rate; None if it isn't known."""
        rate = self._pace.rate
        if rate is None and self._guess is not None:
            rate = GUESS * self._guess
        return None if rate is None else int(rate * PROMPT_S)

    def about(self) -> dict[str, object]:
        """What serves here, JSON-ready, after a self-test of the whole model. BundleError if it fails or is
        missing."""
        return about(self._bundle, self._decoder, prefixes=self._prefixes.lengths) | {
            "load_s": round(self.load_s, 3),
            "prompt_budget": self.prompt_budget,
        }

    def _reusable(self, ids: list[int]) -> int:
        return max(common_prefix(self._cache.ids, ids), self._prefixes.match(ids))
