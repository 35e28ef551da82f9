"""Runs inside the emulated machine: what ATen packs and multiplies here, against our own layout.

The last line is one JSON document.
"""

import json
import mmap
import tempfile

import numpy as np
import torch

from lambda_image.engine.bundle.layout import dequantize, pack


def main() -> None:
    rng = np.random.default_rng(7)
    document: dict[str, object] = {}
    same, errors = [], []
    for rows, columns in ((8, 64), (24, 96), (64, 576), (256, 256)):
        quantized = rng.integers(-8, 8, (rows, columns)).astype(np.int8)
        noise = rng.standard_normal((rows, columns // 32)).astype(np.float32)
        scales = (noise.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)
        bias = rng.standard_normal(rows).astype(np.float32)
        ours = pack(quantized, scales, bias)
        theirs = _aten_pack(quantized, scales, bias)
        document["packed_dtype"] = str(theirs.dtype).removeprefix("torch.")
        if theirs.dtype != torch.uint8:
            break
        same.append(bool((theirs.numpy().reshape(-1) == ours).all()))
        errors.append(_product_error(ours, bias, rows, columns, rng))
    print(json.dumps(document | {"same_bytes": same, "relative_errors": errors}))


def _aten_pack(quantized: np.ndarray, scales: np.ndarray, bias: np.ndarray) -> torch.Tensor:
    rows, columns = quantized.shape
    nibbles = (quantized + 8).astype(np.uint8)
    pairs = torch.from_numpy(nibbles[:, 0::2] | nibbles[:, 1::2] << 4)
    packed: torch.Tensor = torch.ops.aten._dyn_quant_pack_4bit_weight(
        pairs, torch.from_numpy(scales).bfloat16(), torch.from_numpy(bias), 32, columns, rows
    )
    return packed


def _product_error(
    packed: np.ndarray, bias: np.ndarray, rows: int, columns: int, rng: np.random.Generator
) -> float:
    """ATen's product over our bytes, mapped read-only, against float64."""
    with tempfile.TemporaryFile() as file:
        file.write(packed.tobytes())
        file.flush()
        mapped = np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)
        x = rng.standard_normal((5, columns)).astype(np.float32)
        tensor = torch.from_numpy(mapped)
        y = torch.ops.aten._dyn_quant_matmul_4bit(torch.from_numpy(x), tensor, 32, columns, rows)
        exact = x.astype(np.float64) @ dequantize(packed, rows, columns).T.astype(np.float64) + bias
        return float(np.linalg.norm(y.numpy() - exact) / np.linalg.norm(exact))


if __name__ == "__main__":
    main()
