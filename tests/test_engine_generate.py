"""The generator alone: a scripted model, a clock that ticks once per look."""

from collections.abc import Callable, Iterable, Iterator
from itertools import count, islice
from pathlib import Path

import pytest
import torch

from lambda_image.engine.aten.model import KVCache
from lambda_image.engine.bundle.config import ModelConfig, Sampling, read_config
from lambda_image.engine.generation.generate import PREFILL_CHUNK, generate
from lambda_image.engine.generation.reply import Piece, ReplyMetrics
from lambda_image.engine.generation.sampling import Sampler
from lambda_image.engine.text.tokens import ChatTokenizer
from tests.checkpoints import EOS, EOT, write_checkpoint


class Stage:
    """Everything `generate` needs. `script` is what the model says, one id per forward pass."""

    def __init__(self, folder: Path, script: Iterable[int], capacity: int = 100) -> None:
        self.config: ModelConfig = read_config(folder / "config.json")
        self.cache = KVCache(self.config, capacity)
        self.script = list(script)
        self.calls: list[list[int]] = []
        self._detokenizer = ChatTokenizer.load(folder).detokenizer()

    def forward(self, ids: list[int], cache: KVCache) -> torch.Tensor:
        self.calls.append(ids)
        cache.ids.extend(ids)
        logits = torch.zeros(self.config.vocab_size)
        logits[self.script[(len(cache.ids) - self.prompt_length) % len(self.script)]] = 9.0
        return logits

    def reply(
        self, prompt: list[int], max_tokens: int = 50, should_stop: Callable[[], bool] = lambda: False
    ) -> Iterator[Piece]:
        ticks = count()
        self.calls.clear()
        self.prompt_length = len(prompt)
        return generate(
            self.forward,
            self.cache,
            prompt,
            sampler=Sampler(Sampling(), 0),
            detokenizer=self._detokenizer,
            eos_ids=(EOS, EOT),
            max_tokens=max_tokens,
            should_stop=should_stop,
            clock=lambda: float(next(ticks)),
            began=-1.0,
            dropped_turns=3,
        )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("model"))


def end(pieces: list[Piece]) -> tuple[str, ReplyMetrics]:
    """Reason and metrics of the last piece, which alone has them."""
    assert all(piece.end is None for piece in pieces[:-1])
    assert pieces[-1].end is not None
    return pieces[-1].end.finish_reason, pieces[-1].end.metrics


@pytest.mark.parametrize("last", [EOS, EOT])
def test_every_end_token_stops(folder: Path, last: int) -> None:
    stage = Stage(folder, [44, 45, 46, last])
    pieces = list(stage.reply([7, 8, 9]))
    reason, metrics = end(pieces)
    assert reason == "stop"
    assert len(pieces) == metrics.completion_tokens == 4
    assert pieces[-1].text == ""
    assert stage.calls == [[7, 8, 9], [44], [45], [46]]
    assert stage.cache.ids == [7, 8, 9, 44, 45, 46]


def test_max_tokens_ends_with_text(folder: Path) -> None:
    pieces = list(Stage(folder, [44]).reply([7], max_tokens=5))
    reason, metrics = end(pieces)
    assert (reason, metrics.completion_tokens, len(pieces)) == ("length", 5, 5)
    assert all(piece.text for piece in pieces)


def test_no_tokens_asked_for_none_computed(folder: Path) -> None:
    stage = Stage(folder, [44])
    reason, metrics = end(list(stage.reply([7], max_tokens=0)))
    assert (reason, metrics.completion_tokens, metrics.ttft_s, stage.calls) == ("length", 0, None, [])


def test_a_full_context_ends_the_reply(folder: Path) -> None:
    stage = Stage(folder, [44], capacity=10)
    reason, metrics = end(list(stage.reply([7] * 6)))
    assert (reason, metrics.completion_tokens) == ("length", 5)
    assert len(stage.cache.ids) == 10


def test_prefill_looks_up_between_chunks(folder: Path) -> None:
    stage = Stage(folder, [44])
    looks = iter([False, False, True])
    reason, metrics = end(list(stage.reply([7] * 90, should_stop=lambda: next(looks))))
    assert (reason, metrics.completion_tokens, metrics.ttft_s) == ("cancelled", 0, None)
    assert [len(call) for call in stage.calls] == [PREFILL_CHUNK] * 2
    assert metrics.prefill_s == 2.0

    reason, metrics = end(list(stage.reply([7] * 90, max_tokens=1)))
    assert metrics.kv_reused_tokens == 2 * PREFILL_CHUNK


def test_cancelling_between_tokens_keeps_what_was_said(folder: Path) -> None:
    stage = Stage(folder, [44])
    pieces: list[Piece] = []
    for piece in stage.reply([7], should_stop=lambda: len(pieces) == 3):
        pieces.append(piece)
    reason, metrics = end(pieces)
    assert (reason, metrics.completion_tokens, len(pieces)) == ("cancelled", 3, 4)
    assert stage.cache.ids == [7, 44, 44]


def test_metrics_count_model_time_only(folder: Path) -> None:
    """The clock ticks at each look: forward passes take 1 s, the consumer's time isn't looked at."""
    _, metrics = end(list(Stage(folder, [44, 45, EOS]).reply([7] * (PREFILL_CHUNK + 1))))
    assert metrics.model_dump() == {
        "prompt_tokens": PREFILL_CHUNK + 1,
        "dropped_turns": 3,
        "kv_reused_tokens": 0,
        "completion_tokens": 3,
        "prefill_s": 2.0,
        "ttft_s": 5.0,
        "decode_s": 2.0,
        "decode_tokens_per_s": 1.0,
    }


def test_the_common_prefix_is_not_computed_again(folder: Path) -> None:
    stage = Stage(folder, [44, 45, EOS])
    list(stage.reply([7, 8, 9]))
    _, metrics = end(list(stage.reply([7, 8, 9, 44, 45, 50, 51])))
    assert metrics.kv_reused_tokens == 5
    assert stage.calls[0] == [50, 51]


def test_the_same_prompt_again_computes_its_last_token(folder: Path) -> None:
    stage = Stage(folder, [EOS])
    list(stage.reply([7, 8, 9]))
    _, metrics = end(list(stage.reply([7, 8, 9])))
    assert metrics.kv_reused_tokens == 2
    assert stage.calls == [[9]]


@pytest.mark.parametrize("taken", range(4))
def test_an_abandoned_reply_leaves_a_true_cache(folder: Path, taken: int) -> None:
    stage = Stage(folder, [44])
    reply = stage.reply([7] * 20)
    list(islice(reply, taken))
    assert stage.cache.ids == ([7] * 20 + [44] * (taken - 1) if taken else [])
