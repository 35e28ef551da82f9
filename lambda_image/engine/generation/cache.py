"""Keys and values of the tokens seen so far. Every decoder reads and writes the same memory."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from lambda_image.engine.bundle.config import ModelConfig


class KVCache:
    """`keys` and `values`, each [layers, kv heads, capacity, head dim], of the tokens in `ids`.

    Memory is taken page by page as the cache fills. float16 is for serving (sums are float32), float32 for
    the reference.
    """

    def __init__(self, config: ModelConfig, capacity: int, dtype: npt.DTypeLike = np.float16) -> None:
        shape = (config.num_hidden_layers, config.num_key_value_heads, capacity, config.head_dim)
        self.capacity = capacity
        self.ids: list[int] = []
        self.keys = np.empty(shape, dtype)
        self.values = np.empty(shape, dtype)

    def keep_prefix(self, ids: Sequence[int]) -> int:
        """Forgets all but the longest common prefix with `ids`; returns its length."""
        kept = common_prefix(ids, self.ids)
        del self.ids[kept:]
        return kept


def common_prefix(first: Sequence[int], second: Sequence[int]) -> int:
    """How many ids two sequences begin with alike."""
    length = 0
    for a, b in zip(first, second, strict=False):
        if a != b:
            break
        length += 1
    return length
