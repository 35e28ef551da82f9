"""The one int4 layout, on every architecture: KleidiAI's `qsi4c32p` with 8 rows a panel, which ATen's
`_dyn_quant_matmul_4bit` reads in place on arm64 and the native kernels read everywhere.

A matrix [N, K] is ceil(N / 8) panels. A panel is K / 32 blocks of 144 bytes, then 8 float32 row sums
(of scale x weight, which KleidiAI needs for its asymmetric activations), then 8 float32 biases. A block is
32 columns of 8 rows; its weights are signed nibbles:

    bytes   0 to  63   row r, byte 8 r + i: low nibble column i,     high nibble column 16 + i   (i = 0..7)
    bytes  64 to 127   row r, byte 8 r + i: low nibble column 8 + i, high nibble column 24 + i
    bytes 128 to 143   8 bfloat16 scales

Rows past N are zero.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

Kind = Literal["float32", "int4"]  # vectors; matrices in this layout
LAYOUT: Literal["qsi4c32p8"] = "qsi4c32p8"  # its name in a manifest
PANEL = 8  # rows
GROUP = 32  # columns that share a scale
BLOCK = 144  # bytes
TAIL = 64  # bytes: row sums and biases

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


def packed_bytes(rows: int, columns: int) -> int:
    """Size of a packed matrix."""
    return -(-rows // PANEL) * panel_bytes(columns)


def panel_bytes(columns: int) -> int:
    """Size of 8 rows."""
    return columns // GROUP * BLOCK + TAIL


def pack(quantized: npt.NDArray[np.int8], scales: Floats, bias: Floats | None = None) -> Bytes:
    """Weights -8..7 [N, K], scales [N, K / 32] that bfloat16 holds exactly, bias [N] -> bytes."""
    rows, columns = quantized.shape
    panels, groups = -(-rows // PANEL), columns // GROUP

    def padded(values: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        return np.pad(values, [(0, panels * PANEL - rows)] + [(0, 0)] * (values.ndim - 1))

    # [panel, row, group, half of a nibble pair, half of a block, byte]
    nibbles = padded(quantized).reshape(panels, PANEL, groups, 2, 2, 8).astype(np.uint8) & 15
    weights = nibbles[:, :, :, 0] | nibbles[:, :, :, 1] << 4
    bits = padded(scales.astype(np.float32)).reshape(panels, PANEL, groups).view(np.uint32)
    if (bits & 0xFFFF).any():
        raise ValueError("a scale is not a bfloat16")
    packed = np.empty((panels, panel_bytes(columns)), np.uint8)
    blocks = packed[:, :-TAIL].reshape(panels, groups, BLOCK)
    blocks[:, :, :128] = weights.transpose(0, 2, 3, 1, 4).reshape(panels, groups, 128)
    blocks[:, :, 128:] = (bits >> 16).astype("<u2").transpose(0, 2, 1).copy().view(np.uint8)
    sums = np.zeros((panels, PANEL), np.float32)  # group by group, as KleidiAI adds
    counts = padded(quantized.reshape(rows, groups, GROUP).sum(-1, dtype=np.int32))
    for group in range(groups):
        part = counts.reshape(panels, PANEL, groups)[:, :, group].astype(np.float32)
        sums += part * bits.view(np.float32)[:, :, group]
    biases = np.zeros(rows, np.float32) if bias is None else bias.astype(np.float32)
    tail = np.stack((sums, padded(biases).reshape(panels, PANEL).astype(np.float32)), axis=1)
    packed[:, -TAIL:] = tail.reshape(panels, 2 * PANEL).view(np.uint8)
    return packed.reshape(-1)


def unpack(packed: Bytes, rows: int, columns: int) -> tuple[npt.NDArray[np.int8], Floats, Floats]:
    """The inverse of `pack`: weights [N, K], scales [N, K / 32], bias [N]."""
    panels, groups = -(-rows // PANEL), columns // GROUP
    table = packed.reshape(panels, panel_bytes(columns))
    blocks = table[:, :-TAIL].reshape(panels, groups, BLOCK)
    weights = blocks[:, :, :128].reshape(panels, groups, 2, PANEL, 8).transpose(0, 3, 1, 2, 4)
    nibbles = np.stack((weights & 15, weights >> 4), axis=3)  # [panel, row, group, nibble, half, byte]
    quantized = ((nibbles.astype(np.int8) ^ 8) - 8).reshape(panels * PANEL, columns)
    bits = blocks[:, :, 128:].copy().view("<u2").astype(np.uint32).transpose(0, 2, 1) << 16
    scales = np.ascontiguousarray(bits).view(np.float32).reshape(panels * PANEL, groups)
    bias = table[:, -TAIL // 2 :].copy().view(np.float32).reshape(panels * PANEL)
    return quantized[:rows], scales[:rows], bias[:rows]


def dequantize(packed: Bytes, rows: int, columns: int) -> Floats:
    """The weights as float32 [N, K]."""
    quantized, scales, _ = unpack(packed, rows, columns)
    return (quantized.reshape(rows, -1, GROUP) * scales[:, :, None]).reshape(rows, columns).astype(np.float32)


def gather(packed: Bytes, columns: int, indices: Sequence[int]) -> Floats:
    """Some rows as float32 [indices, K]: a token's embedding. IndexError if one isn't there."""
    table = packed.reshape(-1, panel_bytes(columns))
    panels, within = np.divmod(np.asarray(indices, np.int64), PANEL)
    if len(panels) and (panels.min() < 0 or panels.max() >= len(table)):
        raise IndexError(f"row {max(indices)} of {len(table) * PANEL}")
    some = dequantize(table[panels].reshape(-1), len(panels) * PANEL, columns)
    return some.reshape(len(panels), PANEL, columns)[np.arange(len(panels)), within]
