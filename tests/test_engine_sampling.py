"""Sampling: what may be drawn, how often, and that a seed decides it."""

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from lambda_image.engine.bundle.config import Sampling
from lambda_image.engine.errors import NumericsError
from lambda_image.engine.generation import sampling
from lambda_image.engine.generation.sampling import Sampler

LOGITS = torch.tensor([0.5, 0.3, 0.15, 0.05]).log()


def draws(settings: Sampling, count: int = 400, logits: torch.Tensor = LOGITS, seed: int = 0) -> list[int]:
    sampler = Sampler(settings, seed)
    return [sampler(logits) for _ in range(count)]


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
    ],
)
def test_only_likely_tokens_are_drawn(options: dict[str, float], possible: set[int]) -> None:
    assert set(draws(Sampling.model_validate({"temperature": 1.0} | options))) == possible


@pytest.mark.parametrize("options", [{}, {"top_k": 4}, {"top_p": 0.9999}])
def test_frequencies_follow_probabilities(options: dict[str, float]) -> None:
    found = draws(Sampling.model_validate({"temperature": 1.0} | options), count=4000)
    frequencies = [found.count(token) / len(found) for token in range(4)]
    assert frequencies == pytest.approx(LOGITS.exp().tolist(), abs=0.03)


def test_temperature_sharpens_and_flattens() -> None:
    cold, hot = (draws(Sampling(temperature=value), 2000).count(0) for value in (0.3, 10.0))
    assert cold > 1600
    assert 400 < hot < 700


@pytest.mark.parametrize("temperature", [1e-300, 5e-324, 1e300])
def test_extreme_temperatures_stay_finite(temperature: float) -> None:
    assert set(draws(Sampling(temperature=temperature), 20)) <= {0, 1, 2, 3}


def test_seed_decides() -> None:
    settings = Sampling(temperature=1.0)
    assert draws(settings, seed=7) == draws(settings, seed=7)
    assert draws(settings, seed=7) != draws(settings, seed=8)


def test_random_numbers_are_pythons_own() -> None:
    """So a seed means the same on every version of torch."""
    numbers = random.Random(3)
    edges = LOGITS.exp().cumsum(0).tolist()
    expected = [sum(number >= edge for edge in edges) for number in (numbers.random() for _ in range(50))]
    assert draws(Sampling(temperature=1.0), 50, seed=3) == expected


@given(st.integers(0, 2**32), st.floats(0, 1), st.sampled_from([0, 1, 50, 1000]), st.floats(0.1, 3))
@settings(deadline=None)
def test_nucleus_equals_a_full_sort(seed: int, top_p: float, top_k: int, spread: float) -> None:
    logits = torch.randn(700, generator=torch.Generator().manual_seed(seed)) * spread
    ordered, order = logits.double().sort(descending=True)
    kept = ordered[: top_k or None].softmax(0)
    count = max(int((kept.cumsum(0) - kept < top_p - 1e-12).sum()), 1)
    found = draws(Sampling(temperature=1.0, top_k=top_k, top_p=top_p), 20, logits, seed)
    assert set(found) <= set(order[: count + 1].tolist())


def test_the_vocabulary_is_never_sorted(monkeypatch: pytest.MonkeyPatch) -> None:
    logits = torch.randn(100_000, generator=torch.Generator().manual_seed(0)) * 5
    sizes: list[int] = []
    real = torch.Tensor.topk

    def topk(tensor: torch.Tensor, count: int) -> object:
        sizes.append(count)
        return real(tensor, count)

    monkeypatch.setattr(torch.Tensor, "topk", topk)
    for name in ("sort", "argsort"):
        monkeypatch.setattr(torch.Tensor, name, None)
    draws(Sampling(temperature=1.0, top_p=0.9), 3, logits)
    assert max(sizes) <= sampling.NUCLEUS * 64


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_broken_logits_end_the_turn(value: float) -> None:
    logits = torch.full((4,), value) if value < 0 else torch.tensor([0.0, value, 1.0])
    with pytest.raises(NumericsError, match="not finite"):
        Sampler(Sampling(), 0)(logits)


@pytest.mark.parametrize(
    "options",
    [{"temperature": -1}, {"temperature": float("inf")}, {"top_k": -1}, {"top_p": 1.1}, {"heat": 1}],
)
def test_settings_out_of_range_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Sampling.model_validate(options)
