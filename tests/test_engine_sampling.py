"""Sampling: what may be drawn, how often, and that a seed decides it."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from transformers.generation import logits_process as reference

from lambda_image.engine.bundle.config import Sampling
from lambda_image.engine.errors import NumericsError
from lambda_image.engine.generation.sampling import SORTED, Sampler, Scores, survivors

PROBABILITIES = np.array([0.5, 0.3, 0.15, 0.05], np.float32)
LOGITS = np.log(PROBABILITIES)


def draws(settings: Sampling, count: int = 400, logits: Scores = LOGITS, seed: int = 0) -> list[int]:
    sampler = Sampler(settings, seed)
    return [sampler(logits) for _ in range(count)]


def random_logits(seed: int, count: int, spread: float = 3.0) -> Scores:
    return (np.random.default_rng(seed).standard_normal(count) * spread).astype(np.float32)


def test_temperature_zero_is_greedy() -> None:
    assert set(draws(Sampling(temperature=0))) == {0}


@pytest.mark.parametrize(
    ("options", "possible"),
    [
        ({}, {0, 1, 2, 3}),
        ({"top_k": 1}, {0}),
        ({"top_k": 2}, {0, 1}),
        ({"top_k": 100}, {0, 1, 2, 3}),
        ({"top_p": 0.0}, {0}),
        ({"top_p": 0.45}, {0}),
        ({"top_p": 0.6}, {0, 1}),
        ({"top_p": 0.9}, {0, 1, 2}),
        ({"top_k": 2, "top_p": 0.6}, {0}),  # of the two, 0 holds 0.625
        ({"min_p": 0.25}, {0, 1, 2}),
        ({"min_p": 0.5}, {0, 1}),
        ({"min_p": 1.0}, {0}),
        ({"logit_bias": {0: -100.0}}, {1, 2, 3}),
        ({"logit_bias": {3: 1e300}}, {3}),
        ({"logit_bias": {2: 1.0}, "top_k": 1}, {0}),
        ({"logit_bias": {2: 1.3}, "top_k": 1}, {2}),
        ({"logit_bias": {2: 1.3}, "temperature": 0.0}, {2}),
    ],
)
def test_only_likely_tokens_are_drawn(options: dict[str, Any], possible: set[int]) -> None:
    assert set(draws(Sampling.model_validate({"temperature": 1.0} | options))) == possible


@pytest.mark.parametrize("options", [{}, {"top_k": 4}, {"top_p": 0.9999}, {"min_p": 0.01}])
def test_frequencies_follow_probabilities(options: dict[str, float]) -> None:
    found = draws(Sampling.model_validate({"temperature": 1.0} | options), count=4000)
    frequencies = [found.count(token) / len(found) for token in range(4)]
    assert frequencies == pytest.approx(PROBABILITIES.tolist(), abs=0.03)


def test_temperature_sharpens_and_flattens() -> None:
    cold, hot = (draws(Sampling(temperature=value), 2000).count(0) for value in (0.3, 10.0))
    assert cold > 1600
    assert 400 < hot < 700


@pytest.mark.parametrize("temperature", [1e-300, 5e-324, 1e-30, 1e300])
@pytest.mark.parametrize("options", [{}, {"top_p": 0.9, "top_k": 3, "min_p": 0.1}])
def test_extreme_temperatures_stay_finite(temperature: float, options: dict[str, float]) -> None:
    found = set(draws(Sampling.model_validate({"temperature": temperature} | options), 40))
    assert found == {0} if temperature < 1 else found <= {0, 1, 2, 3}


def test_seed_decides() -> None:
    settings = Sampling(temperature=1.0)
    assert draws(settings, seed=7) == draws(settings, seed=7)
    assert draws(settings, seed=7) != draws(settings, seed=8)


def test_random_numbers_are_pythons_own() -> None:
    """So a seed means the same on every version of numpy."""
    numbers = random.Random(3)
    edges = np.exp(LOGITS.astype(np.float64)).cumsum().tolist()
    expected = [sum(number >= edge for edge in edges) for number in (numbers.random() for _ in range(50))]
    assert draws(Sampling(temperature=1.0), 50, seed=3) == expected


def test_the_sequence_of_a_seed_is_known() -> None:
    logits = np.linspace(0, 5, 1000, dtype=np.float32)
    found = draws(Sampling(temperature=0.7, top_p=0.9, min_p=0.02), 12, logits, seed=2024)
    assert found == [909, 960, 862, 985, 894, 958, 848, 840, 974, 916, 895, 960]


def allowed(sampling: Sampling, prompt: list[int], logits: Scores) -> tuple[set[int], Scores]:
    """Ours: the ids that may be drawn, and the probability of each id of the vocabulary."""
    sampler = Sampler(sampling, 0)
    sampler.start(prompt)
    scores = sampler._adjusted(logits)
    ids, exponents = survivors(scores, scores.max(), sampling)
    probabilities = np.zeros(len(logits), np.float32)
    probabilities[ids] = np.exp(exponents) / np.exp(exponents).sum(dtype=np.float64)
    return set(ids.tolist()), probabilities


def transformers_probabilities(sampling: Sampling, prompt: list[int], logits: Scores) -> torch.Tensor:
    """The same from transformers' processors, in the order in which its `generate` applies them."""
    scores, ids = torch.from_numpy(logits)[None].double(), torch.tensor([prompt])
    bias = {(token,): value for token, value in sampling.logit_bias.items()}
    processors: list[Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = []
    if bias:
        processors.append(reference.SequenceBiasLogitsProcessor(bias))
    if sampling.repetition_penalty != 1:
        processors.append(reference.RepetitionPenaltyLogitsProcessor(sampling.repetition_penalty))
    processors.append(reference.TemperatureLogitsWarper(sampling.temperature))
    if sampling.top_k:
        processors.append(reference.TopKLogitsWarper(sampling.top_k))
    if sampling.top_p < 1:
        processors.append(reference.TopPLogitsWarper(sampling.top_p))
    if sampling.min_p:
        processors.append(reference.MinPLogitsWarper(sampling.min_p))
    for processor in processors:
        scores = processor(ids, scores)
    return scores.softmax(-1)[0]


@given(
    seed=st.integers(0, 2**32),
    size=st.sampled_from([5, 300, 6000]),
    spread=st.floats(0.01, 6),
    prompt=st.lists(st.integers(0, 4), min_size=1, max_size=8),
    options=st.fixed_dictionaries(
        {
            "temperature": st.floats(0.2, 3),
            "top_k": st.sampled_from([0, 1, 2, 40, 1000, 100_000]),
            "top_p": st.sampled_from([0.013, 0.3, 0.5003, 0.9, 0.99, 1.0]),
            "min_p": st.sampled_from([0.0, 0.0307, 0.2501, 0.777]),
            "repetition_penalty": st.sampled_from([1.0, 1.3, 0.8]),
            "logit_bias": st.dictionaries(st.integers(0, 4), st.floats(-5, 5), max_size=3),
        }
    ),
)
@settings(deadline=None, max_examples=300)
def test_survivors_and_probabilities_are_transformers(
    seed: int, size: int, spread: float, prompt: list[int], options: dict[str, Any]
) -> None:
    sampling, logits = Sampling.model_validate(options), random_logits(seed, size, spread)
    ids, found = allowed(sampling, prompt, logits)
    expected = transformers_probabilities(sampling, prompt, logits).numpy()
    # The two may differ by the one token that the rounding of a sum or of a logarithm decides.
    other = set(np.flatnonzero(expected).tolist())
    assert len(ids ^ other) <= 1
    if ids == other:
        np.testing.assert_allclose(found, expected, rtol=2e-4, atol=1e-9)


def test_penalty_covers_the_prompt_and_what_was_drawn() -> None:
    logits = np.array([2.0, 1.9, 1.8, -1.0], np.float32)
    sampler = Sampler(Sampling(temperature=0, repetition_penalty=1.5), 0)
    sampler.start([1, 1])
    assert [sampler(logits) for _ in range(3)] == [0, 2, 0]  # 0, then 2; all are penalized: the best again
    assert logits.tolist() == pytest.approx([2.0, 1.9, 1.8, -1.0])


def test_ties_stay_together() -> None:
    logits = np.array([1.0, 3.0, 3.0, 3.0, 0.0], np.float32)
    for options in ({"top_k": 2}, {"top_p": 0.5}, {"min_p": 1.0}):
        assert set(draws(Sampling.model_validate({"temperature": 1.0} | options), 100, logits)) == {1, 2, 3}
    assert set(draws(Sampling(temperature=1.0, top_p=0), 20, logits)) == {1}


class RarelySorted(np.ndarray):
    """Numbers that refuse to be sorted while they are many. What is computed from them refuses too."""

    sorts = 0

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if func in (np.argsort, np.unique, np.lexsort):  # np.sort calls the method
            assert args[0].size <= SORTED
        return super().__array_function__(func, types, args, kwargs)

    def sort(self, *args: Any, **kwargs: Any) -> None:
        assert self.size <= SORTED
        RarelySorted.sorts += 1
        super().sort(*args, **kwargs)


@pytest.mark.parametrize("spread", [0.0, 1e-6, 0.1, 1.0, 5.0])
@pytest.mark.parametrize("top_p", [0.001, 0.5, 0.9, 0.9999])
def test_the_vocabulary_is_never_sorted(spread: float, top_p: float) -> None:
    logits = random_logits(0, 128_256, spread)
    watched, before = logits.view(RarelySorted), RarelySorted.sorts
    for sort in (np.sort, np.argsort, np.unique):
        with pytest.raises(AssertionError):
            sort(watched)
    sampling = Sampling(temperature=1.0, top_p=top_p, top_k=100_000, min_p=1e-9)
    found = draws(sampling, 3, watched)
    assert found == draws(sampling, 3, logits)
    assert (RarelySorted.sorts > before) == (spread > 0)  # what is all alike needs no sorting


@pytest.mark.parametrize(
    ("values", "cause"),
    [
        ([0.0, np.nan, 1.0, np.nan], r"2 of 4, 2 of them NaN; the first is token 1's"),
        ([0.0, 1.0, np.inf], r"1 of 3, 0 of them NaN; the first is token 2's"),
        ([-np.inf, 1.0], "1 of 2"),
        ([-np.inf] * 3, "3 of 3"),
    ],
)
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_broken_logits_end_the_turn(values: list[float], cause: str, temperature: float) -> None:
    with pytest.raises(NumericsError, match=cause):
        Sampler(Sampling(temperature=temperature), 0)(np.array(values, np.float32))


def test_a_bias_for_a_token_that_is_not_there() -> None:
    with pytest.raises(ValueError, match="names token 4, but the model's last is 3: leave it out"):
        draws(Sampling(logit_bias={4: 1.0}), 1)


def test_huge_biases_and_penalties_stay_finite() -> None:
    sampling = Sampling(
        temperature=1.0, logit_bias={0: 1e308, 1: -1e308, 2: 1e308}, repetition_penalty=1e-300, top_p=0.9
    )
    sampler = Sampler(sampling, 0)
    sampler.start([0, 1, 2])
    assert {sampler(LOGITS) for _ in range(30)} == {0, 2}


@pytest.mark.parametrize(
    "options",
    [{"temperature": -1}, {"temperature": float("inf")}, {"top_k": -1}, {"top_p": 1.1}, {"heat": 1}],
)
def test_settings_out_of_range_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Sampling.model_validate(options)
