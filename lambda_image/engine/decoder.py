"""What generation needs of a model, whichever kernels compute it."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from lambda_image.engine.bundle.config import ModelConfig
from lambda_image.engine.generation.cache import KVCache

Logits = npt.NDArray[np.float32]


class Decoder(Protocol):
    """Prefill is one `forward` with many ids, decode one with one id."""

    @property
    def config(self) -> ModelConfig: ...

    @property
    def kernels(self) -> str:
        """Path and instruction set, such as "native/avx2" or "aten/kleidiai"."""

    def forward(self, ids: Sequence[int], cache: KVCache, *, every_position: bool = False) -> Logits:
        """Appends `ids` to the cache; returns the logits [vocabulary] after the last, or [ids, vocabulary].

        The caller's until the next call. ValueError if the cache has no room, or an id is out of range.
        """

    def first_layer(self, ids: Sequence[int]) -> Logits:
        """The hidden state [hidden] of the last of `ids` after one layer: the self-test's short cut."""
