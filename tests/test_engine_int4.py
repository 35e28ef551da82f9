"""int4: the quantizer's error, what it costs the demo model, ATen's operators against floats."""

import logging
import math
import os
import platform
import subprocess
import sys
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from lambda_image.engine.aten import decoder
from lambda_image.engine.aten.decoder import AtenDecoder, TorchDecoder, kleidi_reads_bundles
from lambda_image.engine.aten.linear import repack, rounded
from lambda_image.engine.aten.reference import load_dequantized, load_reference
from lambda_image.engine.bundle.config import GROUP_SIZE
from lambda_image.engine.bundle.layout import dequantize, pack
from lambda_image.engine.bundle.load import open_bundle
from lambda_image.engine.convert.quantize import plain_scales, quantize
from lambda_image.engine.convert.write import write_bundle
from lambda_image.engine.generation.cache import KVCache
from tests.checkpoints import write_checkpoint
from tests.test_architectures import DEMO, apart, logits, random_ids
from tools.corpus.story import conversations
from tools.demo_model.tokenizer import encode
from tools.demo_model.training import MEASURE_SEED

CONVERSATIONS = 16  # of the held-out text: 6,000 of the narrator's tokens


def weights(rows: int, columns: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))


def steps_of(scales: np.ndarray[Any, Any]) -> torch.Tensor:
    return torch.from_numpy(scales).abs().repeat_interleave(GROUP_SIZE, dim=1)


def floats(original: torch.Tensor) -> torch.Tensor:
    """Quantized and back."""
    return torch.from_numpy(dequantize(pack(*quantize(original)), *original.shape))


@given(st.integers(0, 2**32), st.integers(-60, 60))
@settings(deadline=None)
def test_rounding_error(seed: int, exponent: int) -> None:
    """Half a step, except where the range is cut for the sake of the others; and never worse than torchao's
    scale in the sum of a group's squares."""
    original = weights(4, 96, seed) * 2.0**exponent
    quantized, scales = quantize(original)
    assert quantized.dtype == np.int8
    assert -8 <= quantized.min() <= quantized.max() <= 7
    assert not (scales.view(np.uint32) & 0xFFFF).any()
    error = (floats(original) - original).abs()
    inside = ((original / torch.from_numpy(scales).repeat_interleave(GROUP_SIZE, dim=1)) + 0.5).abs() < 7.99
    assert (error <= 0.5001 * steps_of(scales))[inside].all()
    groups = original.view(-1, GROUP_SIZE)
    plain = plain_scales(groups)[:, None]
    least = ((groups / plain).round().clamp(-8, 7) * plain - groups).square().sum(1)
    assert (error.view(-1, GROUP_SIZE).square().sum(1) <= least * 1.0001).all()


def test_the_search_is_worth_its_time() -> None:
    original = weights(256, 1024)
    plain = plain_scales(original.view(-1, GROUP_SIZE))[:, None]
    groups = original.view(-1, GROUP_SIZE)
    unsearched = ((groups / plain).round().clamp(-8, 7) * plain - groups).square().mean()
    assert (floats(original) - original).square().mean() <= 0.76 * unsearched


@pytest.mark.parametrize("value", [0.0, 1e-30, 1e30])
def test_extreme_weights_stay_themselves(value: float) -> None:
    original = torch.full((8, 64), value)
    assert (floats(original) - original).abs().max() <= 0.15 * value


def test_activations_are_rounded_by_the_definition() -> None:
    x = weights(3, 64, seed=2)
    x[1, :32] = 0
    expected = np.zeros((3, 64), np.float32)
    for token in range(3):
        for start in range(0, 64, 32):
            group = x[token, start : start + 32].numpy()
            peak = np.abs(group).max()
            if peak:
                expected[token, start : start + 32] = np.rint(group * (127 / peak)) * (peak / 127)
    assert apart(rounded(x).numpy(), expected) <= 1e-6


def spoken_loss(model: TorchDecoder) -> float:
    """Mean cross-entropy (nats) of the narrator's tokens in held-out conversations, as the training measures
    it."""
    tokenizer = Tokenizer.from_file(str(DEMO / "tokenizer.json"))
    loss, count = 0.0, 0
    for conversation in islice(conversations(MEASURE_SEED, held=True), CONVERSATIONS):
        ids, spoken = encode(tokenizer, conversation, 1024)
        cache = KVCache(model.config, len(ids), np.float32)
        found = torch.from_numpy(model.forward(ids[:-1], cache, every_position=True))
        said = torch.tensor(spoken[1:])
        loss += F.cross_entropy(found[said], torch.tensor(ids[1:])[said], reduction="sum").item()
        count += int(said.sum())
    return loss / count


def test_perplexity_of_the_demo_model(tmp_path: Path) -> None:
    """Held out, int4 weights and int8 activations: at most 1.02 times float32."""
    write_bundle(DEMO, tmp_path / "bundle")
    bundle = open_bundle(tmp_path / "bundle")
    exact = spoken_loss(load_reference(DEMO))
    assert exact == pytest.approx(0.887, abs=0.05)  # of all 96 conversations: training.json
    for int8_activations in (False, True):
        found = spoken_loss(load_dequantized(bundle, int8_activations=int8_activations))
        print(f"int8 activations {int8_activations}: perplexity {math.exp(found - exact):.4f} x float32")
        assert math.exp(found - exact) <= 1.02


@pytest.mark.parametrize("rows", [64, 200])
@pytest.mark.parametrize("tokens", [1, 3, 4, 17])
def test_repacked_product_equals_dequantized(rows: int, tokens: int) -> None:
    bias = weights(1, rows, seed=3)[0]
    packed = pack(*quantize(weights(rows, 128)), bias.numpy())
    x = weights(tokens, 128, seed=1)
    table = torch.from_numpy(dequantize(packed, rows, 128))

    expected = x @ table.T + bias
    exact = repack(packed, rows, 128, torch.float32)(x)
    assert (exact - expected).abs().max() <= 1e-5 * expected.abs().max()

    served = repack(packed, rows, 128)(x)
    nearest = (x.bfloat16().float() @ table.T).bfloat16().float() + bias
    assert (served - nearest).abs().max() <= 2**-7 * expected.abs().max()


@pytest.mark.parametrize("architecture", ["LlamaForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM"])
@pytest.mark.parametrize("tied", [True, False])
def test_served_logits_equal_dequantized(
    architecture: str, tied: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within the error of bfloat16 products; and exactly, on ATen's slow float32 ones."""
    folder = write_checkpoint(tmp_path / "model", architecture=architecture, tied=tied, vocabulary=301)
    write_bundle(folder, tmp_path / "bundle")
    bundle = open_bundle(tmp_path / "bundle")
    served = AtenDecoder(bundle)
    assert served.kernels.startswith("aten/int4pack-")
    ids = random_ids(100)
    expected = logits(load_dequantized(bundle, int8_activations=False), [ids])
    assert np.linalg.norm(logits(served, [ids]) - expected) <= 0.05 * np.linalg.norm(expected)
    eight_bits = logits(load_dequantized(bundle, int8_activations=True), [ids])
    assert 0 < np.linalg.norm(eight_bits - expected) <= 0.05 * np.linalg.norm(expected)
    monkeypatch.setattr(decoder, "repack", partial(repack, dtype=torch.float32))
    assert apart(logits(AtenDecoder(bundle), [ids]), expected) <= 1e-4


def test_slices_are_repacked_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    packed = pack(*quantize(weights(200, 64)))
    whole = repack(packed, 200, 64)
    monkeypatch.setattr("lambda_image.engine.aten.linear.SLICE", 64 * 64)
    sliced = repack(packed, 200, 64)
    assert torch.equal(whole.packed, sliced.packed)
    assert torch.equal(whole.scales, sliced.scales)


def test_a_dropped_kleidiai_is_noticed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Without its CPUs' files, torch on arm64 packs as it does here: float32, by a slow kernel."""
    assert not kleidi_reads_bundles()
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    with caplog.at_level(logging.ERROR):
        assert not kleidi_reads_bundles()
    assert "dropped KleidiAI" in caplog.text
    assert "/sys/devices/system/cpu/possible" in caplog.text


def test_other_capability_multiplies_too() -> None:
    """The portable kernels, in their own process: ATen chooses once."""
    program = "import tests.test_engine_int4 as t; t.test_repacked_product_equals_dequantized(64, 3)"
    environment = os.environ | {"ATEN_CPU_CAPABILITY": "default"}
    subprocess.run(
        [sys.executable, "-c", program], env=environment, check=True, cwd=Path(__file__).parents[1]
    )
