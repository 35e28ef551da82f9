"""The KV cache of what every story of a world begins with, computed when the bundle was built.

A world's fixed prompt is most of what a cold environment would have to read before its first word.
"""

import hashlib
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lambda_image.engine.bundle.load import Bundle
from lambda_image.engine.bundle.manifest import ENGINE, WEIGHTS
from lambda_image.engine.generation.cache import KVCache, common_prefix

log = logging.getLogger(__name__)


class Prefixes:
    """A bundle's prefixes, checked and mapped. What can't be used is passed over, and the log says why."""

    def __init__(self, bundle: Bundle) -> None:
        self._usable = list(_usable(bundle))

    @property
    def lengths(self) -> dict[str, int]:
        """Tokens of each prefix, by its world."""
        return {world: len(ids) for world, ids, _ in self._usable}

    def match(self, prompt: Sequence[int]) -> int:
        """How many leading ids of `prompt` the best prefix holds."""
        return max((common_prefix(ids, prompt) for _, ids, _ in self._usable), default=0)

    def fill(self, cache: KVCache, prompt: Sequence[int]) -> int:
        """Copies the best prefix into `cache`, if it holds more of `prompt` than the cache does.

        Returns how many tokens the cache lost, those of another conversation.
        """
        count, common = self.match(prompt), common_prefix(cache.ids, prompt)
        if count <= common:
            return 0
        lost = len(cache.ids) - common
        state = next(state for _, ids, state in self._usable if common_prefix(ids, prompt) == count)
        cache.keys[:, :, :count], cache.values[:, :, :count] = state[:, :, :, :count]
        cache.ids[:] = prompt[:count]
        return lost


_State = npt.NDArray[np.float16]  # [2, layers, kv heads, tokens, head dim]: keys, values


def _usable(bundle: Bundle) -> Iterator[tuple[str, Sequence[int], _State]]:
    manifest = bundle.manifest
    for world, prefix in manifest.prefixes.items():
        path = bundle.path / prefix.file
        try:
            if (prefix.engine, prefix.weights_sha256) != (ENGINE, manifest.files[WEIGHTS].sha256):
                raise ValueError("it was made by another engine, or from other weights")
            state = _map(path, bundle, len(prefix.ids))
            if hashlib.sha256(state.data).hexdigest() != manifest.files[prefix.file].sha256:
                raise ValueError("it is not the file that was built (sha256 differs)")
        except (OSError, ValueError) as error:
            log.warning("%s IS NOT USED (%s): stories of %s begin with a full prefill", path, error, world)
        else:
            yield world, prefix.ids, state


def _map(path: Path, bundle: Bundle, tokens: int) -> _State:
    config = bundle.manifest.config
    shape = (2, config.num_hidden_layers, config.num_key_value_heads, tokens, config.head_dim)
    found, needed = path.stat().st_size, int(np.prod(shape)) * 2
    if found != needed:
        raise ValueError(f"it has {found} bytes instead of {needed}")
    return np.memmap(path, "<f2", "r", shape=shape)
