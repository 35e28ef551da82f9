"""The generator alone: a scripted model, a clock that ticks once per look."""

from collections.abc import Callable, Iterator, Sequence
from itertools import count, islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lambda_image.engine.bundle.config import Sampling
from lambda_image.engine.decoder import Logits
from lambda_image.engine.errors import NumericsError
from lambda_image.engine.generation import pace
from lambda_image.engine.generation.cache import KVCache
from lambda_image.engine.generation.generate import Detokenizer, generate
from lambda_image.engine.generation.pace import Pace
from lambda_image.engine.generation.reply import Piece, ReplyEnd, ReplyMetrics
from lambda_image.engine.generation.sampling import Sampler
from lambda_image.engine.generation.stops import StopStrings
from lambda_image.engine.text.tokens import ChatTokenizer
from tests.checkpoints import EOS, EOT, write_checkpoint
from tests.fakes_engine import FakeDecoder, Letters, ScriptedDecoder

FIRST = pace.SMALLEST  # tokens of a chunk before anything is measured


class Stage:
    """Everything `generate` needs. `script` is what the model says, one id per forward pass."""

    def __init__(
        self, script: Sequence[int], capacity: int = 200, detokenizer: Detokenizer | None = None
    ) -> None:
        self.decoder = ScriptedDecoder(script, vocabulary=300)
        self.cache = KVCache(self.decoder.config, capacity)
        self.detokenizer = detokenizer or Letters()

    def reply(
        self,
        prompt: list[int],
        max_tokens: int = 50,
        should_stop: Callable[[], bool] = lambda: False,
        stop: Sequence[str] = (),
        pace: Pace | None = None,
    ) -> Iterator[Piece]:
        ticks = count()
        self.decoder.calls.clear()
        self.decoder.prompt_length = len(prompt)
        return generate(
            self.decoder,
            self.cache,
            prompt,
            sampler=Sampler(Sampling(), 0),
            detokenizer=self.detokenizer,
            eos_ids=(EOS, EOT),
            max_tokens=max_tokens,
            stop=stop,
            should_stop=should_stop,
            clock=lambda: float(next(ticks)),
            began=-1.0,
            dropped_turns=3,
            budget_dropped_turns=2,
            pace=pace,
        )


def ended(pieces: list[Piece]) -> ReplyEnd:
    """The end, which the last piece alone has."""
    assert all(piece.end is None for piece in pieces[:-1])
    assert pieces[-1].end is not None
    return pieces[-1].end


def end(pieces: list[Piece]) -> tuple[str, ReplyMetrics]:
    return ended(pieces).finish_reason, ended(pieces).metrics


def text(pieces: list[Piece]) -> str:
    return "".join(piece.text for piece in pieces)


@pytest.mark.parametrize("last", [EOS, EOT])
def test_every_end_token_stops(last: int) -> None:
    stage = Stage([44, 45, 46, last])
    pieces = list(stage.reply([7, 8, 9]))
    reason, metrics = end(pieces)
    assert reason == "stop"
    assert len(pieces) == metrics.completion_tokens == 4
    assert pieces[-1].text == ""
    assert ended(pieces).ids == (44, 45, 46, last)
    assert stage.decoder.calls == [[7, 8, 9], [44], [45], [46]]
    assert stage.cache.ids == [7, 8, 9, 44, 45, 46]


def test_a_real_tokenizer_streams_whole_characters(tmp_path: Path) -> None:
    tokenizer = ChatTokenizer.load(write_checkpoint(tmp_path))
    ids = [token for token in tokenizer.encode_chat([{"role": "user", "content": "naïve 東"}]) if token > 4]
    pieces = list(Stage([*ids, EOS], detokenizer=tokenizer.detokenizer()).reply([7], max_tokens=150))
    assert "naïve 東" in text(pieces)
    assert "" in [piece.text for piece in pieces[:-1]]
    assert ended(pieces).ids == (*ids, EOS)


def test_max_tokens_ends_with_text() -> None:
    pieces = list(Stage([44]).reply([7], max_tokens=5))
    reason, metrics = end(pieces)
    assert (reason, metrics.completion_tokens, len(pieces)) == ("length", 5, 5)
    assert all(piece.text for piece in pieces)
    assert ended(pieces).ids == (44,) * 5


def test_no_tokens_asked_for_none_computed() -> None:
    stage = Stage([44])
    reason, metrics = end(list(stage.reply([7], max_tokens=0)))
    assert (reason, metrics.completion_tokens, metrics.ttft_s, stage.decoder.calls) == ("length", 0, None, [])


def test_a_full_context_ends_the_reply() -> None:
    stage = Stage([44], capacity=10)
    reason, metrics = end(list(stage.reply([7] * 6)))
    assert (reason, metrics.completion_tokens) == ("length", 5)
    assert len(stage.cache.ids) == 10


def test_prefill_looks_up_between_chunks() -> None:
    stage = Stage([44])
    looks = iter([False, False, True])
    reason, metrics = end(list(stage.reply([7] * 90, should_stop=lambda: next(looks))))
    assert (reason, metrics.completion_tokens, metrics.ttft_s) == ("cancelled", 0, None)
    assert [len(call) for call in stage.decoder.calls] == [FIRST] * 2
    assert metrics.prefill_s == 2.0
    assert metrics.prefill_tokens == 2 * FIRST

    reason, metrics = end(list(stage.reply([7] * 90, max_tokens=1)))
    assert (metrics.kv_reused_tokens, metrics.kv_lost_tokens) == (2 * FIRST, 0)
    assert metrics.prefill_tokens == 90 - 2 * FIRST


def test_cancelling_between_tokens_keeps_what_was_said() -> None:
    stage = Stage([44])
    pieces: list[Piece] = []
    for piece in stage.reply([7], should_stop=lambda: len(pieces) == 3):
        pieces.append(piece)
    reason, metrics = end(pieces)
    assert (reason, metrics.completion_tokens, len(pieces)) == ("cancelled", 3, 4)
    assert stage.cache.ids == [7, 44, 44]


def test_metrics_count_model_time_only() -> None:
    """The clock ticks at each look: forward passes take 1 s, the consumer's time isn't looked at."""
    _, metrics = end(list(Stage([44, 45, EOS]).reply([7] * (FIRST + 1))))
    assert metrics.model_dump() == {
        "prompt_tokens": FIRST + 1,
        "dropped_turns": 3,
        "budget_dropped_turns": 2,
        "kv_reused_tokens": 0,
        "kv_lost_tokens": 0,
        "prefill_tokens": FIRST + 1,
        "completion_tokens": 3,
        "speculated_tokens": 0,
        "accepted_tokens": 0,
        "prefill_s": 2.0,
        "ttft_s": 5.0,
        "decode_s": 2.0,
        "decode_tokens_per_s": 1.0,
    }


def test_the_common_prefix_is_not_computed_again() -> None:
    stage = Stage([44, 45, 46, EOS])
    list(stage.reply([7, 8, 9]))
    _, metrics = end(list(stage.reply([7, 8, 9, 44, 45, 50, 51])))
    assert metrics.kv_reused_tokens == 5
    assert metrics.kv_lost_tokens == 1  # 46
    assert stage.decoder.calls[0] == [50, 51]


def test_the_same_prompt_again_computes_its_last_token() -> None:
    stage = Stage([EOS])
    list(stage.reply([7, 8, 9]))
    _, metrics = end(list(stage.reply([7, 8, 9])))
    assert (metrics.kv_reused_tokens, metrics.kv_lost_tokens) == (2, 0)
    assert stage.decoder.calls == [[9]]


@pytest.mark.parametrize("taken", range(4))
def test_an_abandoned_reply_leaves_a_true_cache(taken: int) -> None:
    stage = Stage([44])
    reply = stage.reply([7] * 20)
    list(islice(reply, taken))
    assert stage.cache.ids == ([7] * 20 + [44] * (taken - 1) if taken else [])


def test_a_loop_ends_the_reply() -> None:
    said = [*range(10, 40), *[5, 6, 7] * 200]
    reason, metrics = end(list(Stage(said, capacity=1000).reply([7], max_tokens=600)))
    assert (reason, metrics.completion_tokens) == ("loop", 30 + 128)


def test_broken_logits_end_the_turn() -> None:
    class Broken(FakeDecoder):
        def row(self, seen: Sequence[int]) -> Logits:
            return super().row(seen) * np.float32(np.nan if len(seen) == 5 else 1)

    stage = Stage([44])
    stage.decoder = Broken()  # type: ignore[assignment]
    stage.decoder.prompt_length = 0
    reply = stage.reply([7, 8, 9])
    assert all(next(reply).end is None for _ in range(2))
    with pytest.raises(NumericsError, match="not finite"):
        next(reply)


# Stop strings


def words(script: str) -> Stage:
    """A model that says `script`, then ends its turn (token 1 would be "b", 4 "e": neither is said)."""
    return Stage([*("abcdefghijklmnopqrstuvwxyz".index(letter) + 52 for letter in script), EOS])


@pytest.mark.parametrize(
    ("stops", "shown", "reason"),
    [
        ([], "playground", "stop"),
        (["gr"], "play", "stop"),
        (["nix", "oun"], "playgr", "stop"),
        (["p"], "", "stop"),
        (["ground", "gro"], "play", "stop"),
        (["xyz", "ground!", "undo"], "playground", "stop"),
    ],
)
def test_text_ends_before_a_stop_string(stops: list[str], shown: str, reason: str) -> None:
    pieces = list(words("playground").reply([7], stop=stops))
    assert (text(pieces), ended(pieces).finish_reason) == (shown, reason)


@pytest.mark.parametrize(("most", "reason"), [(7, "length"), (50, "stop")])
def test_held_back_text_comes_when_no_more_can_follow(most: int, reason: str) -> None:
    pieces = list(words("playgro").reply([7], stop=["ground"], max_tokens=most))
    assert (text(pieces), ended(pieces).finish_reason) == ("playgro", reason)


def test_held_back_text_comes_when_cancelled() -> None:
    pieces: list[Piece] = []
    for piece in words("playground").reply([7], stop=["ground"], should_stop=lambda: len(pieces) == 6):
        pieces.append(piece)
    assert [piece.text for piece in pieces] == ["p", "l", "a", "y", "", "", "gr"]
    assert ended(pieces).finish_reason == "cancelled"


def test_an_empty_stop_string_is_refused() -> None:
    with pytest.raises(ValueError, match="stop string is empty"):
        next(Stage([44]).reply([7], stop=["x", ""]))


@given(
    said=st.text("ab", max_size=30),
    stops=st.lists(st.text("ab", min_size=1, max_size=5), max_size=3),
    cuts=st.lists(st.integers(0, 30), max_size=10),
)
@example(said="babaa", stops=["aba", "b", "ab"], cuts=[])
@example(said="aabab", stops=["abab", "ba"], cuts=[])
@settings(max_examples=500)
def test_stop_strings_by_definition(said: str, stops: list[str], cuts: list[int]) -> None:
    """Letter by letter: text ends before the first stop string that is complete, the longest of several."""
    ends = [(end, -len(stop)) for end in range(len(said) + 1) for stop in stops if said[:end].endswith(stop)]
    expected = said[: sum(min(ends))] if ends else said

    borders = sorted({0, len(said), *(min(cut, len(said)) for cut in cuts)})
    held, shown, come = StopStrings(stops), "", ""
    for start, stop in zip(borders, [*borders[1:], len(said)], strict=True):
        come += said[start:stop]
        shown += held.step(said[start:stop])
        assert expected.startswith(shown)
        if held.found:
            break
        # Nothing is held back that can't become a stop string.
        rest = come[len(shown) :]
        assert not rest or any(one.startswith(rest) for one in stops)
    else:
        shown += held.flush()
    assert shown == expected
    assert held.found == bool(ends)


# Pace


def test_chunks_grow_with_the_measured_rate() -> None:
    assert Pace(guess=60.0).chunk() == 30
    assert Pace(guess=1e6).chunk() == 64
    measured = Pace()
    assert (measured.rate, measured.chunk()) == (None, 8)
    measured.add(8, 0.2)
    assert (measured.rate, measured.chunk()) == (40.0, 20)
    measured.add(20, 0.2)  # 100 a second: the recent rate counts half
    assert (measured.rate, measured.chunk()) == (70.0, 35)
    measured.add(35, 0.01)
    assert measured.chunk() == 64
    for _ in range(20):
        measured.add(64, 32.0)
    assert measured.chunk() == 8


@pytest.mark.parametrize(("tokens", "seconds"), [(7, 1.0), (8, 0.0), (8, -1.0)])
def test_what_tells_nothing_is_not_measured(tokens: int, seconds: float) -> None:
    measured = Pace()
    measured.add(tokens, seconds)
    assert measured.rate is None


@given(rate=st.floats(16, 1e4))
def test_a_chunk_takes_at_most_half_a_second_at_a_steady_rate(rate: float) -> None:
    measured = Pace()
    for _ in range(5):
        assert measured.chunk() / rate <= 0.5 + 1e-9
        measured.add(measured.chunk(), measured.chunk() / rate)
    assert measured.chunk() >= min(int(rate * 0.5 * (1 - 1e-9)), 64)


def test_pace_lives_on_and_changes_no_result() -> None:
    """The clock makes every chunk take a second, so a rate is a chunk's length."""
    measured = Pace()
    measured.add(64, 0.1)
    stage = Stage([44])
    list(stage.reply([7] * 90, max_tokens=1, pace=measured))
    assert [len(call) for call in stage.decoder.calls] == [64, 26]
    assert measured.rate == ((640 + 64) / 2 + 26) / 2

    def reply(pace: Pace | None) -> tuple[int, ...]:
        decoder = FakeDecoder()
        pieces = generate(
            decoder,
            KVCache(decoder.config, 200),
            [token % 40 for token in range(90)],
            sampler=Sampler(Sampling(temperature=1.0), 5),
            detokenizer=Letters(),
            eos_ids=(),
            max_tokens=20,
            should_stop=lambda: False,
            clock=lambda: 0.0,
            began=0.0,
            dropped_turns=0,
            pace=pace,
        )
        return ended(list(pieces)).ids

    fast = Pace()
    fast.add(64, 0.001)
    assert reply(None) == reply(fast)
