"""One loaded model that replies to conversations, one at a time."""

import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path

import torch

from lambda_image.engine.aten.model import KVCache, Llama
from lambda_image.engine.bundle.config import Sampling
from lambda_image.engine.bundle.manifest import REBUILD, WEIGHTS, Manifest, read_manifest
from lambda_image.engine.bundle.plan import plan
from lambda_image.engine.bundle.readahead import ReadAhead
from lambda_image.engine.errors import BundleError, CheckpointError
from lambda_image.engine.generation.context import fit
from lambda_image.engine.generation.generate import generate
from lambda_image.engine.generation.reply import Piece
from lambda_image.engine.generation.sampling import Sampler
from lambda_image.engine.load import Loader
from lambda_image.engine.text.tokens import ChatTokenizer

CONTEXT = 4096  # tokens at most: the float32 cache of an 8B model then takes 1.1 GB of a function's 10
# Products of a model this small take microseconds, and on a busy machine each waits for the slowest thread:
# with both cores busy the demo model decoded 83 tokens/s on one thread, 28 on two.
ONE_THREAD_WEIGHTS = 1 << 26
PROMPT_SHARE = 0.75  # of the context that a prompt may fill where max_tokens asks for more room than the rest


class Engine:
    """A model ready to reply."""

    def __init__(
        self,
        model: Llama,
        tokenizer: ChatTokenizer,
        manifest: Manifest,
        *,
        load_s: float,
        clock: Callable[[], float],
    ) -> None:
        self.name = manifest.name
        self.context_length = min(manifest.config.max_position_embeddings, CONTEXT)
        self.load_s = load_s
        self._model = model
        self._tokenizer = tokenizer
        self._generation = manifest.generation
        self._cache = KVCache(manifest.config, self.context_length)
        self._clock = clock
        self._running: Generator[Piece, None, None] | None = None

    @classmethod
    def load(
        cls,
        bundle: Path,
        readahead: ReadAhead | None = None,
        threads: int | None = None,
        *,
        clock: Callable[[], float] = time.perf_counter,
    ) -> "Engine":
        """Blocks until the bundle's bytes are read (by `readahead`, started before, or by one of its own) and
        the model is usable.

        `threads` compute; if not given, one for a small model, else as many as torch finds cores. BundleError
        if the bundle can't be served here.
        """
        began = clock()
        if readahead is None:
            readahead = ReadAhead(bundle / WEIGHTS)
            readahead.start()
        manifest = read_manifest(bundle)
        if threads is None and sum(planned.size for planned in plan(manifest.config)) < ONE_THREAD_WEIGHTS:
            threads = 1
        if threads is not None:
            torch.set_num_threads(threads)
        loader = Loader(bundle, manifest)
        try:
            tokenizer = ChatTokenizer.load(bundle)
            readahead.wait()
        except (CheckpointError, OSError) as error:
            raise BundleError(f"{bundle} can't be loaded ({error}): {REBUILD}") from None
        loader.check_edges()
        return cls(loader.model, tokenizer, manifest, load_s=clock() - began, clock=clock)

    def reply(
        self,
        messages: Sequence[Mapping[str, str]],
        *,
        seed: int,
        max_tokens: int | None = None,
        temperature: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Iterator[Piece]:
        """Streams the assistant's next message; the last piece has the end and the metrics.

        `messages` are dicts of `role` (system, user, assistant) and `content`. What isn't given is the
        model's own default. An earlier reply that is still open is closed. Raises before the first piece:
        PromptError, ValueError for sampling out of range.
        """
        began = self._clock()
        overrides = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
        given = {name: value for name, value in overrides.items() if value is not None}
        sampling = Sampling.model_validate(self._generation.sampling.model_dump() | given)
        if max_tokens is None:
            max_tokens = self._generation.max_new_tokens
        limit = max(self.context_length - max(max_tokens, 0), int(self.context_length * PROMPT_SHARE))
        prompt, dropped = fit(messages, self._tokenizer.encode_chat, limit)
        if self._running is not None:
            self._running.close()
        self._running = generate(
            self._model.forward,
            self._cache,
            prompt,
            sampler=Sampler(sampling, seed),
            detokenizer=self._tokenizer.detokenizer(),
            eos_ids=self._generation.eos_token_ids,
            max_tokens=max_tokens,
            should_stop=should_stop,
            clock=self._clock,
            began=began,
            dropped_turns=dropped,
        )
        return self._running
