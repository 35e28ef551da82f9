"""The decoder over ATen's int4 operators: the second path, for those who choose it and to measure the native
one against.

On arm64 ATen has KleidiAI's kernels, which read a bundle in place. Elsewhere each matrix is repacked once,
when the decoder is made, for ATen's own operator: as much memory again as the weights.
"""

import logging
import platform
from collections.abc import Sequence

import numpy as np
import torch

from lambda_image.engine.aten.linear import KleidiLinear, Linear, repack, shared
from lambda_image.engine.aten.model import Llama, assemble
from lambda_image.engine.bundle.config import GROUP_SIZE, ModelConfig
from lambda_image.engine.bundle.layout import gather, pack
from lambda_image.engine.bundle.load import Bundle
from lambda_image.engine.decoder import Logits
from lambda_image.engine.generation.cache import KVCache

log = logging.getLogger(__name__)

CURE = (
    "torch has dropped KleidiAI, which makes it several times slower: on Linux it finds no "
    "CPUs where /sys/devices/system/cpu/possible and /sys/devices/system/cpu/present are missing. Put both "
    "files into the image, each with the line 0-5 (COPY in the Dockerfile), or choose the native kernels"
)


class TorchDecoder:
    """A `Decoder` on torch, see `lambda_image.engine.decoder`: any matrix products, float32 between them."""

    def __init__(self, model: Llama, kernels: str) -> None:
        self.kernels = kernels
        self._model = model

    @property
    def config(self) -> ModelConfig:
        return self._model.config

    def forward(self, ids: Sequence[int], cache: KVCache, *, every_position: bool = False) -> Logits:
        """Appends `ids` to the cache; returns the logits [vocabulary] after the last, or [ids, vocabulary].

        ValueError if the cache has no room, or an id is out of range.
        """
        logits: Logits = self._model.forward(ids, cache, every_position=every_position).numpy()
        return logits

    def first_layer(self, ids: Sequence[int]) -> Logits:
        """The hidden state [hidden] of the last of `ids` after one layer."""
        hidden: Logits = self._model.hidden(ids, KVCache(self.config, len(ids)), layers=1)[-1].numpy()
        return hidden


class AtenDecoder(TorchDecoder):
    """A bundle on ATen's best int4 operator for this CPU. `threads`, if given, is set for all of torch."""

    def __init__(self, bundle: Bundle, *, threads: int | None = None) -> None:
        if threads is not None:
            torch.set_num_threads(threads)
        in_place = kleidi_reads_bundles()
        config = bundle.manifest.config
        table = bundle.packed("head" if config.tie_word_embeddings else "embedding")

        def linear(name: str) -> Linear:
            rows, columns = bundle.planned(name).shape
            if in_place:
                return KleidiLinear(shared(bundle.packed(name)), rows, columns)
            return repack(bundle.packed(name), rows, columns)

        model = assemble(
            config,
            embed=lambda ids: torch.from_numpy(gather(table, config.hidden_size, ids)),
            vector=lambda name: shared(bundle.vector(name)),
            linear=linear,
        )
        capability = torch.backends.cpu.get_cpu_capability().lower().replace(" ", "-")
        super().__init__(model, "aten/kleidiai" if in_place else f"aten/int4pack-{capability}")


def kleidi_reads_bundles() -> bool:
    """Whether `_dyn_quant_matmul_4bit` reads a bundle's bytes in place here.

    It does on arm64, unless torch has dropped KleidiAI, which it does without a word; what it packs shows it.
    """
    if platform.machine() not in ("aarch64", "arm64"):
        return False
    values = np.random.default_rng(0)
    quantized = values.integers(-8, 8, (8, 64), dtype=np.int8)
    scales = 2.0 ** values.integers(-8, 0, (8, 64 // GROUP_SIZE)).astype(np.float32)
    nibbles = (quantized + 8).astype(np.uint8)
    packed = torch.ops.aten._dyn_quant_pack_4bit_weight(
        torch.from_numpy(nibbles[:, 0::2] | nibbles[:, 1::2] << 4),
        torch.from_numpy(scales).bfloat16(),
        torch.zeros(8),
        GROUP_SIZE,
        64,
        8,
    )
    if packed.dtype != torch.uint8:
        log.error(CURE)
        return False
    if not np.array_equal(packed.numpy().reshape(-1), pack(quantized, scales)):
        log.error("this torch's KleidiAI packs int4 in another order than bundles have: weights are repacked")
        return False
    return True
