"""int4: the quantizer's error, ATen's packing and products, a bundle against the same weights as floats."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lambda_image.engine.aten.linear import FloatLinear, Int4Linear, Linear, layout
from lambda_image.engine.aten.model import KVCache, Llama, assemble
from lambda_image.engine.bundle.config import GROUP_SIZE
from lambda_image.engine.bundle.manifest import read_manifest
from lambda_image.engine.convert.checkpoint import Checkpoint
from lambda_image.engine.convert.quantize import interleave, pack, quantize
from lambda_image.engine.convert.write import write_bundle
from lambda_image.engine.load import Loader
from tests.checkpoints import write_checkpoint


def dequantize(quantized: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    """The definition: (q - 8) * scale, group by group."""
    groups = (quantized - 8).view(len(quantized), -1, GROUP_SIZE) * scales.float()[..., None]
    return groups.view(quantized.shape)


def weights(rows: int, columns: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))


@given(st.integers(0, 2**32), st.floats(1e-6, 1e6))
@settings(deadline=None)
def test_rounding_error_is_at_most_half_a_step(seed: int, magnitude: float) -> None:
    original = weights(4, 96, seed) * magnitude
    quantized, scales = quantize(original)
    assert quantized.min() >= 0
    assert quantized.max() <= 15
    step = scales.float().repeat_interleave(GROUP_SIZE, dim=1)
    inside = (
        original / step
    ).abs() < 7.5  # the largest magnitude may be clipped by bfloat16's rounding of the step
    error = (dequantize(quantized, scales) - original).abs()
    assert (error <= 0.5001 * step)[inside].all()
    assert (error <= 0.6 * step).all()


def test_zero_weights_stay_zero() -> None:
    quantized, scales = quantize(torch.zeros(2, 64))
    assert torch.equal(dequantize(quantized, scales), torch.zeros(2, 64))


@pytest.mark.parametrize("rows", [64, 192])
@pytest.mark.parametrize("tokens", [1, 3, 4, 17])
def test_packed_product_equals_dequantized(rows: int, tokens: int) -> None:
    quantized, scales = quantize(weights(rows, 128))
    x = weights(tokens, 128, seed=1)
    expected = x @ dequantize(quantized, scales).T

    exact = Int4Linear(pack(quantized), interleave(scales).float(), rows)(x)
    assert (exact - expected).abs().max() <= 1e-5 * expected.abs().max()

    served = Int4Linear(pack(quantized), interleave(scales), rows)(x)
    rounded = (x.bfloat16().float() @ dequantize(quantized, scales).T).bfloat16().float()
    assert (served - rounded).abs().max() <= 2**-7 * expected.abs().max()


def test_padding_rows_are_cut_off() -> None:
    quantized, scales = quantize(weights(64, 64))
    x = weights(2, 64, seed=1)
    whole = Int4Linear(pack(quantized), interleave(scales), 64)(x)
    assert torch.equal(Int4Linear(pack(quantized), interleave(scales), 50)(x), whole[:, :50])


def exact(linear: Linear) -> Int4Linear:
    """The same packed weights with ATen's float32 kernel."""
    assert isinstance(linear, Int4Linear)
    return replace(linear, scales=linear.scales.float())


def test_bundle_equals_dequantized_checkpoint(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "model", llama3_rope=True, vocabulary=301)
    write_bundle(folder, tmp_path / "bundle")
    served = Loader(tmp_path / "bundle", read_manifest(tmp_path / "bundle")).model
    checkpoint = Checkpoint(folder)
    planned = {planned.name: planned for planned in checkpoint.plan}

    def dequantized(name: str) -> FloatLinear:
        return FloatLinear(dequantize(*quantize(checkpoint.rows(planned[name]))))

    expected = logits(assemble(served.config, lambda name: checkpoint.rows(planned[name]), dequantized))
    float32 = replace(
        served,
        head=exact(served.head),
        layers=[
            replace(
                layer,
                qkv=exact(layer.qkv),
                out=exact(layer.out),
                gate_up=exact(layer.gate_up),
                down=exact(layer.down),
            )
            for layer in served.layers
        ],
    )
    assert (logits(float32) - expected).abs().max() <= 1e-4
    assert (logits(served) - expected).norm() <= 0.02 * expected.norm()


def logits(model: Llama) -> torch.Tensor:
    return model.forward(list(range(5, 105)), KVCache(model.config, 128), every_position=True)


def test_other_capability_packs_and_multiplies_too() -> None:
    """The portable kernels, in their own process: ATen chooses once."""
    program = (
        "import tests.test_engine_int4 as t; assert t.layout() == 'aten-int4pack/default', t.layout(); "
        "t.test_packed_product_equals_dequantized(64, 3)"
    )
    environment = os.environ | {"ATEN_CPU_CAPABILITY": "default"}
    subprocess.run(
        [sys.executable, "-c", program], env=environment, check=True, cwd=Path(__file__).parents[1]
    )
    assert layout().startswith("aten-int4pack/")
