"""Draws the next token. Deterministic for a seed, on any version of any library: the random numbers are
Python's own generator's, whose sequence is guaranteed."""

import math
import random

import torch

from lambda_image.engine.bundle.config import Sampling
from lambda_image.engine.errors import NumericsError

NUCLEUS = 64  # candidates to sort first for top_p; more only if they don't hold enough probability


class Sampler:
    """Temperature, then top_k, then top_p, as in transformers; never a sort of the whole vocabulary."""

    def __init__(self, sampling: Sampling, seed: int) -> None:
        self._sampling = sampling
        self._random = random.Random(seed)

    def __call__(self, logits: torch.Tensor) -> int:
        """A token id for logits [vocabulary]. NumericsError if they aren't finite."""
        peak = float(logits.max())  # NaN if any is
        if not math.isfinite(peak):
            raise NumericsError(
                "the model's logits are not finite: check the bundle with lambda_image.engine.bundle.verify"
            )
        settings = self._sampling
        if settings.temperature == 0:
            return int(logits.argmax())
        scaled = (logits.double() - peak) / settings.temperature  # at most 0: no overflow at any temperature
        if settings.top_k:
            scaled, ids = scaled.topk(min(settings.top_k, len(scaled)))
        else:
            ids = torch.arange(len(scaled))
        probabilities = scaled.softmax(-1)
        if settings.top_p < 1:
            probabilities, order = _nucleus(probabilities, settings.top_p)
            ids = ids[order]
        cumulative = probabilities.cumsum(-1)
        drawn = int(torch.searchsorted(cumulative, self._random.random() * cumulative[-1], right=True))
        return int(ids[min(drawn, len(ids) - 1)])


def _nucleus(probabilities: torch.Tensor, top_p: float) -> tuple[torch.Tensor, torch.Tensor]:
    """The fewest most likely tokens that hold `top_p` together, at least one, with their indices."""
    count = NUCLEUS
    while True:
        top, order = probabilities.topk(min(count, len(probabilities)))
        cumulative = top.cumsum(-1)
        if cumulative[-1] >= top_p or len(top) == len(probabilities):
            keep = int((cumulative < top_p).sum()) + 1
            return top[:keep], order[:keep]
        count *= 8
