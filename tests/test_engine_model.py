"""The decoder against Hugging Face transformers, and against itself in every way of cutting up a prompt."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

from lambda_image.engine.aten.model import KVCache, Llama
from lambda_image.engine.aten.reference import load_reference
from lambda_image.engine.text.tokens import ChatTokenizer
from tests.checkpoints import write_checkpoint

TOLERANCE = 1e-4

CHECKPOINTS: dict[str, dict[str, Any]] = {
    "untied": {},
    "tied": {"tied": True},
    "every head its own keys": {"kv_heads": 4},
    "one key head, llama3 rope": {"kv_heads": 1, "llama3_rope": True},
    "sharded bfloat16": {"sharded": True, "dtype": torch.bfloat16},
    "wide heads": {"head_dim": 32},
    "new spelling": {
        "rope_scaling": None,
        "rope_theta": None,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1234.0},
    },
}


DEMO = Path(__file__).parents[1] / "models/demo"


def random_ids(count: int, seed: int = 1) -> list[int]:
    return torch.randint(5, 290, (count,), generator=torch.Generator().manual_seed(seed)).tolist()


def logits(model: Llama, chunks: Sequence[list[int]]) -> torch.Tensor:
    cache = KVCache(model.config, 256)
    return torch.cat([model.forward(chunk, cache, every_position=True) for chunk in chunks])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Llama:
    return load_reference(write_checkpoint(tmp_path_factory.mktemp("model"), llama3_rope=True))


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_logits_equal_transformers(name: str, tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, **CHECKPOINTS[name])
    assert_logits_equal(folder, random_ids(200))


def test_logits_of_the_demo_model_equal_transformers() -> None:
    messages = [
        {"role": "system", "content": "You are the narrator of a story in the Emerald City."},
        {"role": "user", "content": "I knock at the gate and ask who lives here."},
    ]
    assert_logits_equal(DEMO, ChatTokenizer.load(DEMO).encode_chat(messages))


def assert_logits_equal(folder: Path, ids: list[int]) -> None:
    theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        expected = theirs(torch.tensor([ids])).logits[0]
    found = logits(load_reference(folder), [ids])
    assert expected.std() > 1
    assert (found - expected).abs().max() <= TOLERANCE


@given(cuts=st.lists(st.integers(1, 59), unique=True).map(sorted))
@settings(max_examples=20, deadline=None)
def test_any_chunks_equal_one_shot(model: Llama, cuts: list[int]) -> None:
    ids = random_ids(60)
    chunks = [ids[start:stop] for start, stop in zip([0, *cuts], [*cuts, 60], strict=True)]
    assert (logits(model, chunks) - logits(model, [ids])).abs().max() <= TOLERANCE


def test_step_by_step_equals_one_shot(model: Llama) -> None:
    ids = random_ids(40)
    assert (logits(model, [[token] for token in ids]) - logits(model, [ids])).abs().max() <= TOLERANCE


def test_forward_returns_the_last_position(model: Llama) -> None:
    ids = random_ids(20)
    last = model.forward(ids, KVCache(model.config, 32))
    assert last.shape == (model.config.vocab_size,)
    assert (last - logits(model, [ids])[-1]).abs().max() <= TOLERANCE


def test_a_rewound_cache_equals_a_fresh_one(model: Llama) -> None:
    ids, other = random_ids(30), random_ids(30, seed=2)
    cache = KVCache(model.config, 64)
    model.forward([*ids[:20], *other], cache)
    assert cache.keep_prefix(ids) == 20
    assert (model.forward(ids[20:], cache) - logits(model, [ids])[-1]).abs().max() <= TOLERANCE


def test_a_full_cache_is_refused(model: Llama) -> None:
    cache = KVCache(model.config, 8)
    model.forward(random_ids(8), cache)
    with pytest.raises(ValueError, match="1 tokens at position 8 of a cache for 8"):
        model.forward([5], cache)
    assert len(cache.ids) == 8


def test_llama3_scaling_changes_the_logits(tmp_path: Path) -> None:
    """Guards the comparison above: a decoder that ignored the scaling would fail it."""
    plain = load_reference(write_checkpoint(tmp_path / "plain"))
    scaled = load_reference(write_checkpoint(tmp_path / "scaled", llama3_rope=True))
    ids = random_ids(60)
    assert (logits(plain, [ids]) - logits(scaled, [ids])).abs().max() > 100 * TOLERANCE
