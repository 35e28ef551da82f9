"""The decoder's matrix products: float32, and ATen's two int4 operators over a bundle's weights."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from lambda_image.engine.bundle.config import GROUP_SIZE
from lambda_image.engine.bundle.layout import PANEL, Bytes, panel_bytes, unpack

Linear = Callable[[torch.Tensor], torch.Tensor]  # [tokens, columns] to [tokens, rows]

ROW_BLOCK = 64  # rows that ATen packs together on x86: 64 with AVX-512, else a divisor of it
SLICE = 1 << 25  # weights repacked at a time: 128 MB as ATen's int32


@dataclass(frozen=True)
class FloatLinear:
    """y = x W^T + b with float32 W [rows, columns]."""

    weight: torch.Tensor
    bias: torch.Tensor | None = None

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, self.weight, self.bias)


@dataclass(frozen=True)
class Int8Linear:
    """A FloatLinear whose input is rounded to int8, group by group, as the integer kernels do."""

    linear: FloatLinear

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(rounded(x))


@dataclass(frozen=True)
class KleidiLinear:
    """y = x W^T + b, W and b in the bundle's own bytes, read in place by KleidiAI (arm64). It rounds each
    token's x to 8 bits, with one scale and zero for the whole row."""

    packed: torch.Tensor
    rows: int
    columns: int

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = torch.ops.aten._dyn_quant_matmul_4bit(
            x.contiguous(), self.packed, GROUP_SIZE, self.columns, self.rows
        )
        return y


@dataclass(frozen=True)
class RepackedLinear:
    """y = x W^T + b with W packed [rows padded to ROW_BLOCK, columns / 2] and scales [columns / 32, padded
    rows, 2], a copy in the order of ATen's other operator.

    It computes in the scales' type. That is bfloat16 when serving: those kernels are vectorized (sums stay
    float32), while x86's float32 kernel is scalar and 15 to 40 times slower.
    """

    packed: torch.Tensor
    scales: torch.Tensor
    bias: torch.Tensor  # [rows]

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = torch.ops.aten._weight_int4pack_mm_for_cpu(
            x.to(self.scales.dtype), self.packed, GROUP_SIZE, self.scales
        )
        return y[:, : len(self.bias)].float() + self.bias


def rounded(x: torch.Tensor) -> torch.Tensor:
    """x [tokens, columns] in the nearest steps of each group of 32, whose largest magnitude is step 127."""
    groups = x.view(*x.shape[:-1], -1, GROUP_SIZE)
    peaks = groups.abs().amax(-1, keepdim=True)
    steps = torch.round(groups * torch.where(peaks > 0, 127 / peaks, 0))
    return (steps * (peaks / 127)).view(x.shape)


def repack(packed: Bytes, rows: int, columns: int, dtype: torch.dtype = torch.bfloat16) -> RepackedLinear:
    """A matrix of a bundle for `_weight_int4pack_mm_for_cpu`, which reads (q - 8) * scale + zero with q in
    0..15; zero is 0."""
    step = max(SLICE // columns // ROW_BLOCK, 1) * ROW_BLOCK
    stride = panel_bytes(columns) // PANEL
    weights, scales, biases = [], [], []
    for start in range(0, rows, step):
        count = min(step, rows - start)
        part = packed[start * stride : (start + count + -count % PANEL) * stride]
        quantized, part_scales, bias = unpack(part, count, columns)
        padding = (0, 0, 0, -count % ROW_BLOCK)
        unsigned = F.pad(torch.from_numpy(quantized).int(), padding) + 8
        weights.append(torch.ops.aten._convert_weight_to_int4pack_for_cpu(unsigned, 1))
        scales.append(F.pad(torch.from_numpy(part_scales).to(dtype), padding))
        biases.append(torch.from_numpy(bias.copy()))
    pairs = torch.stack((torch.cat(scales), torch.zeros_like(torch.cat(scales))), dim=-1)
    return RepackedLinear(torch.cat(weights), pairs.transpose(0, 1).contiguous(), torch.cat(biases))


def shared(array: npt.NDArray[np.generic]) -> torch.Tensor:
    """The same memory as a tensor. It may be read-only: nothing here writes to weights."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)
