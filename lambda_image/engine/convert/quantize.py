"""Float weights to ATen's packed int4: symmetric, groups of 32 along each row. Needs torchao, so only the
builder imports this.

torchao chooses the scale of each group (largest magnitude / 7.5, rounded to bfloat16 first, because that is
the scale that decoding uses) and rounds the weights to -8..7. ATen's operator reads `(q - 8) * scale + zero`
with unsigned q, so q is stored with 8 added and zero is 0.
"""

import logging

import torch

from lambda_image.engine.bundle.config import GROUP_SIZE

# On import torchao warns of compiled extensions that it can't load, and of a deprecation inside itself. Its
# algorithms, all that is used here, are plain torch.
for noisy in ("torchao", "torch.utils._pytree"):
    logging.getLogger(noisy).setLevel(logging.ERROR)

from torchao.quantization.quant_primitives import (  # noqa: E402  silenced first
    MappingType,
    choose_qparams_affine,
    quantize_affine,
)

LOW, HIGH = -8, 7


def quantize(weights: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """float32 [N, K] to (int32 [N, K] in 0..15, bfloat16 scales [N, K / 32])."""
    block = (1, GROUP_SIZE)
    scales, zeros = choose_qparams_affine(
        weights, MappingType.SYMMETRIC, block, torch.int8, LOW, HIGH, scale_dtype=torch.bfloat16
    )
    quantized = quantize_affine(weights, block, scales.float(), zeros, torch.int8, LOW, HIGH)
    return quantized.int() - LOW, scales.reshape(len(weights), -1)


def pack(quantized: torch.Tensor) -> torch.Tensor:
    """int32 [N, K] in 0..15 to uint8 [N, K / 2] in this CPU's layout, see `linear`. N is a multiple of 64."""
    packed: torch.Tensor = torch.ops.aten._convert_weight_to_int4pack_for_cpu(quantized, 1)
    return packed


def interleave(scales: torch.Tensor) -> torch.Tensor:
    """bfloat16 [N, K / 32] to the operator's [K / 32, N, 2]: scale and zero side by side."""
    pairs = torch.stack((scales, torch.zeros_like(scales)), dim=-1)
    return pairs.transpose(0, 1).contiguous()
