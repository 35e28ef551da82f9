"""The decoder in float32 against Hugging Face transformers: small random checkpoints of every architecture,
with the quirks that the config.json of each model in the catalog really has, and some that it could have."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

from lambda_image.engine.aten.decoder import TorchDecoder
from lambda_image.engine.aten.reference import load_reference
from lambda_image.engine.bundle.config import ARCHITECTURES, parse_config
from lambda_image.engine.convert.catalog import load_catalog
from lambda_image.engine.generation.cache import KVCache
from lambda_image.engine.text.tokens import ChatTokenizer
from tests.checkpoints import OMIT, write_checkpoint

TOLERANCE = 1e-4
DEMO = Path(__file__).parents[1] / "models/demo"
MISTRAL, QWEN2, QWEN3 = "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM"

Logits = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Case:
    """Arguments of `write_checkpoint`, and the models of the catalog that they stand for."""

    options: dict[str, Any]
    models: tuple[str, ...] = ()
    windows: tuple[int, ...] = (0, 0)
    changes: dict[str, Any] = field(default_factory=dict)  # that must change the logits: the case's own guard


def rope(factor: float) -> dict[str, Any]:
    return {
        "rope_type": "llama3",
        "factor": factor,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
    }


CASES = {
    "llama 3": Case({"rope_scaling": None}, ("llama3-8b",)),
    "llama 3.1": Case({"rope_scaling": rope(8.0)}, ("llama3.1-8b",), changes={"rope_scaling": None}),
    "llama 3.2, tied": Case(
        {"rope_scaling": rope(32.0), "tied": True},
        ("llama3.2-1b", "llama3.2-3b"),
        changes={"rope_scaling": None},
    ),
    "codellama": Case(
        # As published: no head_dim, no attention_bias, no tie_word_embeddings.
        {
            "kv_heads": 4,
            "rope_theta": 1e6,
            "head_dim": 16,
            "rms_norm_eps": 1e-5,
            "attention_bias": OMIT,
            "tie_word_embeddings": OMIT,
            "mlp_bias": OMIT,
        },
        ("codellama-7b",),
        changes={"rope_theta": OMIT},
    ),
    "smollm2": Case(
        {"tied": True, "heads": 9, "kv_heads": 3, "hidden": 288, "head_dim": 32, "rope_theta": 100000},
        ("smollm2-135m", "smollm2-360m", "smollm2-1.7b"),
    ),
    "demo": Case({"tied": True, "heads": 8, "kv_heads": 4, "head_dim": 32, "rope_theta": 10000.0}, ("demo",)),
    "llama, biases everywhere in attention": Case({"attention_bias": True}),
    "llama, one key head": Case({"kv_heads": 1}),
    "llama, heads wider than hidden": Case({"head_dim": 32}),
    "llama, sharded bfloat16": Case({"sharded": True, "dtype": torch.bfloat16}),
    "llama, new spelling": Case(
        {
            "rope_scaling": OMIT,
            "rope_theta": OMIT,
            "rope_parameters": rope(8.0) | {"rope_theta": 1234.0},
        },
        changes={"rope_parameters": {"rope_type": "default", "rope_theta": 1234.0}},
    ),
    "llama, trained length left out": Case(
        {"rope_scaling": {k: v for k, v in rope(8.0).items() if not k.startswith("original")}, "context": 256}
    ),
    "mistral v0.2": Case(
        {"architecture": MISTRAL, "sliding_window": None, "rope_theta": 1e6, "attention_bias": OMIT},
        ("mistral-7b",),
    ),
    "mistral v0.1, windowed": Case(
        {"architecture": MISTRAL, "sliding_window": 24},
        windows=(24, 24),
        changes={"sliding_window": None},
    ),
    "mistral, a window of one token": Case(
        {"architecture": MISTRAL, "sliding_window": 1}, windows=(1, 1), changes={"sliding_window": 2}
    ),
    "mistral, window left out": Case({"architecture": MISTRAL, "sliding_window": OMIT}, windows=(4096, 4096)),
    "qwen 2.5, tied": Case(
        {
            "architecture": QWEN2,
            "tied": True,
            "heads": 6,
            "kv_heads": 1,
            "hidden": 96,
            "rope_theta": 1e6,
            "rms_norm_eps": 1e-6,
            "use_sliding_window": False,
            "sliding_window": 32,
            "max_window_layers": 1,
            "attention_bias": OMIT,
        },
        ("qwen2.5-1.5b",),
    ),
    "qwen 2.5, untied": Case(
        {
            "architecture": QWEN2,
            "use_sliding_window": False,
            "sliding_window": 32,
            "max_window_layers": 0,
            "attention_bias": OMIT,
        },
        ("qwen2.5-7b",),
    ),
    "qwen 2.5, upper layers windowed": Case(
        {"architecture": QWEN2, "use_sliding_window": True, "sliding_window": 20, "max_window_layers": 1},
        windows=(0, 20),
        changes={"use_sliding_window": False},
    ),
    "qwen 2.5, windows by layer_types": Case(
        {
            "architecture": QWEN2,
            "use_sliding_window": True,
            "sliding_window": 20,
            "layer_types": ["sliding_attention", "full_attention"],
        },
        windows=(20, 0),
        changes={"use_sliding_window": False, "layer_types": OMIT},
    ),
    "qwen 3, tied": Case(
        {
            "architecture": QWEN3,
            "tied": True,
            "head_dim": 32,
            "rope_theta": 1e6,
            "rms_norm_eps": 1e-6,
            "use_sliding_window": False,
            "sliding_window": None,
            "max_window_layers": 2,
        },
        ("qwen3-1.7b", "qwen3-4b"),
    ),
    "qwen 3, biases, windowed": Case(
        {
            "architecture": QWEN3,
            "attention_bias": True,
            "use_sliding_window": True,
            "sliding_window": 20,
            "max_window_layers": 0,
        },
        windows=(20, 20),
        changes={"use_sliding_window": False},
    ),
    "qwen 3, head_dim left out": Case({"architecture": QWEN3, "head_dim": OMIT, "heads": 2, "kv_heads": 1}),
}


def random_ids(count: int, seed: int = 1) -> list[int]:
    return torch.randint(5, 290, (count,), generator=torch.Generator().manual_seed(seed)).tolist()


def logits(decoder: TorchDecoder, chunks: Sequence[list[int]]) -> Logits:
    cache = KVCache(decoder.config, 256, np.float32)
    return np.concatenate([decoder.forward(chunk, cache, every_position=True) for chunk in chunks])


def theirs(folder: Path, ids: list[int]) -> Logits:
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        expected: Logits = model(torch.tensor([ids])).logits[0].numpy()
    assert expected.std() > 1
    return expected


def apart(one: Logits, other: Logits) -> float:
    return float(np.abs(one - other).max())


@pytest.fixture(scope="module", params=CASES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def folder(name: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("model"), **CASES[name].options)


@pytest.fixture(scope="module")
def decoder(folder: Path) -> TorchDecoder:
    return load_reference(folder)


def test_logits_equal_transformers(name: str, folder: Path, decoder: TorchDecoder) -> None:
    ids = random_ids(200)
    difference = apart(logits(decoder, [ids]), theirs(folder, ids))
    print(f"{name:40} {difference:.1e}")  # the table of the numerics: pytest -rP
    assert difference <= TOLERANCE
    assert decoder.config.windows == CASES[name].windows


@given(cuts=st.lists(st.integers(1, 59), unique=True).map(sorted))
@settings(max_examples=10, deadline=None)
def test_any_chunks_equal_one_shot(decoder: TorchDecoder, cuts: list[int]) -> None:
    ids = random_ids(60)
    chunks = [ids[start:stop] for start, stop in zip([0, *cuts], [*cuts, 60], strict=True)]
    assert apart(logits(decoder, chunks), logits(decoder, [ids])) <= TOLERANCE


def test_step_by_step_equals_one_shot(decoder: TorchDecoder) -> None:
    ids = random_ids(60)
    assert apart(logits(decoder, [[token] for token in ids]), logits(decoder, [ids])) <= TOLERANCE


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.changes])
def test_the_quirk_changes_the_logits(name: str, tmp_path: Path) -> None:
    """Guards the comparison: a decoder that ignored what the case is about would fail it."""
    case = CASES[name]
    ids = random_ids(60)
    quirky = load_reference(write_checkpoint(tmp_path / "quirky", **case.options))
    plain = load_reference(write_checkpoint(tmp_path / "plain", **case.options | case.changes))
    assert apart(logits(quirky, [ids]), logits(plain, [ids])) > 100 * TOLERANCE


def test_logits_of_the_demo_model_equal_transformers() -> None:
    messages = [
        {"role": "system", "content": "You are the narrator of a story in the Emerald City."},
        {"role": "user", "content": "I knock at the gate and ask who lives here."},
    ]
    ids = ChatTokenizer.load(DEMO).encode_chat(messages)
    assert apart(logits(load_reference(DEMO), [ids]), theirs(DEMO, ids)) <= TOLERANCE


def test_every_model_of_the_catalog_has_its_case(tmp_path: Path) -> None:
    """And is of that case's kind: architecture, biases, norms, tying, rotary scaling, windows."""

    def kind(config: Any) -> tuple[object, ...]:
        windowed = any(config.windows)
        return (
            config.architecture,
            config.attention_bias,
            config.output_bias,
            config.qk_norm,
            config.tie_word_embeddings,
            config.llama3_rope is not None,
            windowed,
        )

    cases = {model: name for name, case in CASES.items() for model in case.models}
    models = load_catalog().models
    assert set(cases) == set(models)
    assert {entry.config.model.architecture for entry in models.values()} == set(ARCHITECTURES)
    for model, entry in models.items():
        small = load_reference(write_checkpoint(tmp_path / model, **CASES[cases[model]].options)).config
        assert kind(small) == kind(entry.config.model), model
        assert parse_config(entry.config.config_json()) == entry.config.model
