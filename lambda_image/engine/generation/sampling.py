"""Draws the next token. Deterministic for a seed, on any version of any library: the random numbers are
Python's own generator's, whose sequence is guaranteed."""

import random
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from lambda_image.engine.bundle.config import Sampling
from lambda_image.engine.errors import NumericsError

Scores = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]

SORTED = 4096  # the most probabilities that are ever sorted
FINITE = 1e30  # biased and penalized logits are clipped here, so that their differences stay finite


class Sampler:
    """Logit bias, repetition penalty, temperature, top_k, top_p, min_p: order and meaning as in transformers.

    What ties with the last token that top_k or top_p keep is kept too, so no order among equals matters. At
    temperature 0 the most likely token is taken, after bias and penalty.
    """

    def __init__(self, sampling: Sampling, seed: int) -> None:
        self._sampling = sampling
        self._random = random.Random(seed)
        self._bias_ids = np.fromiter(sampling.logit_bias.keys(), np.int64)
        self._bias = np.fromiter(sampling.logit_bias.values(), np.float64)
        self._seen: Ids = np.empty(0, np.int64)

    def start(self, prompt: Sequence[int]) -> None:
        """Begins a reply to `prompt`. The repetition penalty covers its tokens, as it does those drawn."""
        if self._sampling.repetition_penalty != 1:
            self._seen = np.unique(np.asarray(prompt, np.int64))

    def __call__(self, logits: Scores) -> int:
        """A token id for `logits` [vocabulary], which are left as they are.

        NumericsError if they aren't finite; ValueError if logit_bias names a token that the model lacks.
        """
        _check(logits)
        scores = self._adjusted(logits)
        best = int(scores.argmax())
        greedy = self._sampling.temperature == 0 or self._sampling.top_p == 0
        token = best if greedy else self._draw(scores, scores[best])
        if self._sampling.repetition_penalty != 1:
            place = int(np.searchsorted(self._seen, token))
            if place == len(self._seen) or self._seen[place] != token:
                self._seen = np.insert(self._seen, place, token)
        return token

    def _adjusted(self, logits: Scores) -> Scores:
        """`logits` with bias and penalty."""
        penalty = self._sampling.repetition_penalty
        if penalty == 1 and not len(self._bias_ids):
            return logits
        if len(self._bias_ids) and int(self._bias_ids.max()) >= len(logits):
            raise ValueError(
                f"logit_bias names token {self._bias_ids.max()}, but the model's last is {len(logits) - 1}: "
                "leave it out"
            )
        scores = logits.copy()
        with np.errstate(over="ignore"):
            scores[self._bias_ids] += self._bias
            seen = scores[self._seen].astype(np.float64)
            scores[self._seen] = np.where(seen < 0, seen * penalty, seen / penalty)
        return scores.clip(-FINITE, FINITE)

    def _draw(self, scores: Scores, peak: np.float32) -> int:
        ids, exponents = survivors(scores, peak, self._sampling)
        cumulative = np.exp(exponents.astype(np.float64)).cumsum()
        drawn = int(cumulative.searchsorted(self._random.random() * cumulative[-1], side="right"))
        return int(ids[min(drawn, len(ids) - 1)])


def survivors(scores: Scores, peak: np.float32, sampling: Sampling) -> tuple[Ids, Scores]:
    """The ids that may be drawn, ascending, and the logarithms of their probabilities relative to the best.

    `peak` is the highest of `scores` [vocabulary].
    """
    exponents = scores - peak
    with np.errstate(over="ignore"):  # of a tiny temperature: minus infinity is what is meant
        exponents /= max(np.float32(sampling.temperature), np.finfo(np.float32).tiny)
    # As what ties is kept, every step comes down to a floor. Few are kept, so indices are faster than masks.
    floor = np.float32(-np.inf)
    kept = exponents
    if 0 < sampling.top_k < len(kept):
        last = len(kept) - sampling.top_k
        floor = np.partition(kept, last)[last]
        kept = kept[np.flatnonzero(kept >= floor)]
    if sampling.top_p < 1:
        weights = np.exp(kept)
        mass = sampling.top_p * float(weights.sum(dtype=np.float64))
        floor = kept[np.flatnonzero(weights >= _nucleus_floor(weights, mass))].min()
    if sampling.min_p > 0:
        floor = max(floor, np.float32(np.log(sampling.min_p)))
    ids = np.flatnonzero(exponents >= floor)
    return ids, exponents[ids]


def _nucleus_floor(weights: Scores, mass: float) -> float:
    """The largest value for which the weights of at least that value sum up to at least `mass`.

    Quickselect by weight: the mean splits what is undecided until little enough to sort is left. Few weights
    of a language model are above their mean, so two or three looks suffice.
    """
    while len(weights) > SORTED:
        pivot = weights.mean(dtype=np.float64)
        above = weights[np.flatnonzero(weights > pivot)]
        if len(above) in (0, len(weights)):  # all are alike
            return float(weights[0])
        held = float(above.sum(dtype=np.float64))
        if held >= mass:
            weights = above
        else:
            weights, mass = weights[np.flatnonzero(weights <= pivot)], mass - held
    descending = np.sort(weights)[::-1]
    reached = int(descending.cumsum(dtype=np.float64).searchsorted(mass))
    return float(descending[min(reached, len(descending) - 1)])


def _check(logits: Scores) -> None:
    low, high = logits.min(), logits.max()  # NaN if any is
    if np.isfinite(low) and np.isfinite(high):
        return
    broken = np.flatnonzero(~np.isfinite(logits))
    raise NumericsError(
        f"the model's logits are not finite ({len(broken)} of {len(logits)}, {np.isnan(logits).sum()} of "
        f"them NaN; the first is token {broken[0]}'s): "
        "check the bundle with lambda_image.engine.bundle.verify"
    )
