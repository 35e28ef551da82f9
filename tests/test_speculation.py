"""Guessing ahead changes how often the model is asked, and nothing else."""

from collections.abc import Sequence
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambda_image.engine.bundle.config import Sampling
from lambda_image.engine.bundle.load import open_bundle
from lambda_image.engine.convert.write import write_bundle
from lambda_image.engine.decoder import Decoder
from lambda_image.engine.generation.cache import KVCache
from lambda_image.engine.generation.generate import generate
from lambda_image.engine.generation.reply import Piece, ReplyEnd, ReplyMetrics
from lambda_image.engine.generation.sampling import Sampler
from lambda_image.engine.generation.speculation import NGRAM, Lookup
from lambda_image.engine.native.decoder import NativeDecoder
from tests.checkpoints import write_checkpoint
from tests.fakes_engine import FakeDecoder, Letters, ScriptedDecoder

PROMPT = [token % 11 for token in range(30)]
GREEDY = Sampling()


class Told:
    """A whole reply, and the cache's ids whenever a piece came."""

    def __init__(
        self,
        speculate: int,
        sampling: Sampling = GREEDY,
        *,
        decoder: Decoder | None = None,
        prompt: list[int] = PROMPT,
        max_tokens: int = 80,
        capacity: int = 300,
        eos_ids: Sequence[int] = (),
        stop: Sequence[str] = (),
        take: int | None = None,
    ) -> None:
        self.decoder = decoder = decoder or FakeDecoder()
        self.calls = decoder.calls if isinstance(decoder, FakeDecoder) else []
        self.cache = KVCache(self.decoder.config, capacity)
        ticks = count()
        self.pieces: list[Piece] = []
        self.caches: list[list[int]] = []
        reply = generate(
            self.decoder,
            self.cache,
            prompt,
            sampler=Sampler(sampling, 11),
            detokenizer=Letters(),
            eos_ids=eos_ids,
            max_tokens=max_tokens,
            stop=stop,
            should_stop=lambda: False,
            clock=lambda: float(next(ticks)),
            began=0.0,
            dropped_turns=0,
            speculate=speculate,
        )
        for piece in reply:
            self.pieces.append(piece)
            self.caches.append(list(self.cache.ids))
            if len(self.pieces) == take:
                reply.close()

    @property
    def end(self) -> ReplyEnd:
        end = self.pieces[-1].end
        assert end is not None
        return end

    @property
    def metrics(self) -> ReplyMetrics:
        return self.end.metrics

    @property
    def story(self) -> tuple[object, ...]:
        """All that a consumer, or the next reply, can see."""
        return [piece.text for piece in self.pieces], self.caches, self.end.ids, self.end.finish_reason


@pytest.mark.parametrize("speculate", [1, 2, 5, 12])
@pytest.mark.parametrize(
    "sampling",
    [
        GREEDY,
        Sampling(temperature=0.5),
        Sampling(temperature=1.0, top_p=0.9, min_p=0.02),
        Sampling(temperature=0.3, repetition_penalty=1.02),
        Sampling(repetition_penalty=1.05),
    ],
)
def test_the_story_is_the_same(speculate: int, sampling: Sampling) -> None:
    plain, guessed = (Told(ahead, sampling, decoder=FakeDecoder(habit=6)) for ahead in (0, speculate))
    assert guessed.story == plain.story
    assert guessed.metrics.speculated_tokens >= guessed.metrics.accepted_tokens > 0
    assert len(guessed.calls) < len(plain.calls)
    assert plain.metrics.speculated_tokens == 0


@given(
    speculate=st.integers(1, 9),
    temperature=st.sampled_from([0.0, 0.5, 1.0, 2.0]),
    habit=st.floats(0, 8),
    max_tokens=st.integers(1, 60),
    room=st.integers(0, 60),
    eos=st.integers(0, 9),
    stops=st.lists(st.text("abcdefg", min_size=1, max_size=4), max_size=2),
)
@settings(deadline=None, max_examples=150)
def test_the_story_is_the_same_wherever_it_ends(
    speculate: int, temperature: float, habit: float, max_tokens: int, room: int, eos: int, stops: list[str]
) -> None:
    """End tokens, stop strings, the last allowed token and a full cache, inside an accepted run or not."""

    def tell(ahead: int) -> Told:
        return Told(
            ahead,
            Sampling(temperature=temperature),
            decoder=FakeDecoder(habit=habit),
            max_tokens=max_tokens,
            capacity=len(PROMPT) + room,
            eos_ids=(eos,),
            stop=stops,
        )

    plain, guessed = tell(0), tell(speculate)
    assert guessed.story == plain.story
    assert guessed.metrics.completion_tokens == plain.metrics.completion_tokens


def test_the_cache_is_true_after_rejections() -> None:
    """A reply after one that guessed wrong is the one that a fresh cache gives."""
    first = Told(6, Sampling(temperature=1.0))
    assert first.metrics.speculated_tokens > first.metrics.accepted_tokens
    prompt = [*PROMPT, *first.end.ids[:40], 5, 6]
    kept = list(first.cache.keys[0, 0, : len(first.cache.ids), 0])
    assert kept == first.cache.ids == [*PROMPT, *first.end.ids[:-1]]

    def next_reply(cache: KVCache) -> ReplyEnd:
        *_, last = generate(
            FakeDecoder(),
            cache,
            prompt,
            sampler=Sampler(Sampling(temperature=1.0), 1),
            detokenizer=Letters(),
            eos_ids=(),
            max_tokens=30,
            should_stop=lambda: False,
            clock=lambda: 0.0,
            began=0.0,
            dropped_turns=0,
        )
        assert last.end is not None
        return last.end

    warm, cold = next_reply(first.cache), next_reply(KVCache(first.decoder.config, 300))
    assert warm.ids == cold.ids
    assert warm.metrics.kv_reused_tokens == len(PROMPT) + 40
    assert cold.metrics.kv_reused_tokens == 0


@pytest.mark.parametrize("taken", [1, 5, 17, 40])
def test_an_abandoned_reply_leaves_a_true_cache(taken: int) -> None:
    whole, part = Told(7), Told(7, take=taken)
    assert part.cache.ids == [*PROMPT, *whole.end.ids[: taken - 1]]
    assert list(part.cache.keys[0, 0, : len(part.cache.ids), 0]) == part.cache.ids


def script(*said: int) -> ScriptedDecoder:
    decoder = ScriptedDecoder(said)
    decoder.prompt_length = len(PROMPT)
    return decoder


def test_an_end_token_inside_an_accepted_run() -> None:
    """After 0 1 2, the prompt went on with 3 4 5 6 7: so does the model, and 5 ends its turn."""
    told = Told(5, decoder=script(0, 1, 2, 3, 4, 5, 6, 7), eos_ids=(5,))
    assert told.end.ids == (0, 1, 2, 3, 4, 5)
    assert told.calls[-1] == [2, 3, 4, 5, 6, 7]
    assert told.cache.ids == [*PROMPT, 0, 1, 2, 3, 4]
    assert (told.metrics.speculated_tokens, told.metrics.accepted_tokens) == (5, 3)


def test_a_stop_string_inside_an_accepted_run() -> None:
    told = Told(5, decoder=script(0, 1, 2, 3, 4, 5, 6, 7), stop=["ef"])
    assert "".join(piece.text for piece in told.pieces) == "abcd"
    assert (told.end.finish_reason, told.end.ids) == ("stop", (0, 1, 2, 3, 4, 5))
    assert told.cache.ids == [*PROMPT, 0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("max_tokens", "last_call"), [(4, [2]), (5, [2, 3]), (6, [2, 3, 4]), (7, [2, 3, 4, 5])]
)
def test_no_token_is_guessed_that_could_not_be_said(max_tokens: int, last_call: list[int]) -> None:
    told = Told(3, decoder=script(0, 1, 2, 3, 4, 5, 6, 7), max_tokens=max_tokens)
    assert (told.end.finish_reason, len(told.end.ids)) == ("length", max_tokens)
    assert told.calls[-1] == last_call


def test_a_wrong_guess_is_not_said() -> None:
    told = Told(4, decoder=script(0, 1, 2, 3, 9, 9, 9, 8), max_tokens=8)
    assert told.end.ids == (0, 1, 2, 3, 9, 9, 9, 8)
    assert [2, 3, 4, 5, 6] in told.calls
    assert (told.metrics.speculated_tokens, told.metrics.accepted_tokens) == (4, 1)


@pytest.mark.parametrize("temperature", [0.0, 0.7, 1.5])
def test_a_real_model_tells_the_same_story(tmp_path: Path, temperature: float) -> None:
    """Few words are allowed, so that they come in the same order again."""
    write_bundle(write_checkpoint(tmp_path / "checkpoint"), tmp_path / "bundle")
    bundle = open_bundle(tmp_path / "bundle")
    decoder = NativeDecoder(bundle.manifest.config, bundle.tensor, threads=2)
    sampling = Sampling(temperature=temperature, logit_bias=dict.fromkeys(range(20, 25), 30.0))
    plain, *others = (Told(ahead, sampling, decoder=decoder, max_tokens=120) for ahead in (0, 1, 4, 9))
    for guessed in others:
        assert guessed.story == plain.story
    assert any(guessed.metrics.accepted_tokens for guessed in others)
    assert any(g.metrics.speculated_tokens > g.metrics.accepted_tokens for g in others)


@given(st.lists(st.integers(0, 2), max_size=60), st.integers(0, 6))
def test_proposals_by_definition(ids: list[int], most: int) -> None:
    """What followed the latest earlier place where the last tokens stood."""
    tail = ids[-NGRAM:]
    places = [
        start
        for start in range(len(ids) - NGRAM)
        if len(tail) == NGRAM and ids[start : start + NGRAM] == tail
    ]
    expected = ids[places[-1] + NGRAM :][:most] if places else []
    assert Lookup(ids).propose(most) == expected
    assert Lookup(ids).propose(-1) == []
