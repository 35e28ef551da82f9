"""The two matrix products of the decoder: float weights (the reference) and ATen's packed int4."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from lambda_image.engine.bundle.config import GROUP_SIZE

ROW_BLOCK = 64  # rows that ATen packs together: 64 with AVX-512, else less; bundles pad every matrix to it


def padded(rows: int) -> int:
    """`rows` rounded up to whole blocks."""
    return rows + -rows % ROW_BLOCK


def layout() -> str:
    """Name of the int4 byte layout that this CPU's ATen kernels read, such as 'aten-int4pack/avx2'."""
    return "aten-int4pack/" + torch.backends.cpu.get_cpu_capability().lower().replace(" ", "-")


@dataclass(frozen=True)
class FloatLinear:
    """y = x W^T with float32 W [out, in]."""

    weight: torch.Tensor

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, self.weight)


@dataclass(frozen=True)
class Int4Linear:
    """y = x W^T with W packed [rows padded to ROW_BLOCK, in / 2] and scales [in / 32, padded rows, 2].

    The operator computes in the scales' type. Bundles hold bfloat16: its kernels are vectorized (sums stay
    float32), while x86's float32 kernel is scalar and 15 to 40 times slower.
    """

    packed: torch.Tensor
    scales: torch.Tensor
    out_features: int

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = torch.ops.aten._weight_int4pack_mm_for_cpu(
            x.to(self.scales.dtype), self.packed, GROUP_SIZE, self.scales
        )
        return y[:, : self.out_features].float()


Linear = FloatLinear | Int4Linear
