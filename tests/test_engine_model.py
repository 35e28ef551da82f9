"""The torch decoder's manners: positions, caches, windows, refusals. Its numbers: test_architectures."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from lambda_image.engine.aten.decoder import TorchDecoder
from lambda_image.engine.aten.model import Span
from lambda_image.engine.aten.reference import load_reference
from lambda_image.engine.bundle.rope import rotary_table
from lambda_image.engine.convert.catalog import load_catalog
from lambda_image.engine.generation.cache import KVCache
from tests.checkpoints import write_checkpoint
from tests.test_architectures import TOLERANCE, apart, logits, random_ids


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> TorchDecoder:
    return load_reference(write_checkpoint(tmp_path_factory.mktemp("model"), llama3_rope=True))


def cache(decoder: TorchDecoder, capacity: int) -> KVCache:
    return KVCache(decoder.config, capacity, np.float32)


def test_forward_returns_the_last_position(decoder: TorchDecoder) -> None:
    ids = random_ids(20)
    last = decoder.forward(ids, cache(decoder, 32))
    assert last.shape == (decoder.config.vocab_size,)
    assert last.dtype == np.float32
    assert apart(last, logits(decoder, [ids])[-1]) <= TOLERANCE


def test_a_rewound_cache_equals_a_fresh_one(decoder: TorchDecoder) -> None:
    ids, other = random_ids(30), random_ids(30, seed=2)
    used = cache(decoder, 64)
    decoder.forward([*ids[:20], *other], used)
    assert used.keep_prefix(ids) == 20
    assert apart(decoder.forward(ids[20:], used), logits(decoder, [ids])[-1]) <= TOLERANCE


def test_keys_and_values_are_kept_in_the_caches_own_memory(decoder: TorchDecoder) -> None:
    """Another decoder, on other kernels, can go on from them."""
    ids = random_ids(30)
    half = KVCache(decoder.config, 64)
    assert half.keys.dtype == np.float16
    exact = cache(decoder, 64)
    for used in (half, exact):
        decoder.forward(ids, used)
    assert (
        np.abs(half.keys[:, :, :30] - exact.keys[:, :, :30]).max()
        <= 2e-3 * np.abs(exact.keys[:, :, :30]).max()
    )
    found, expected = decoder.forward([7], half), decoder.forward([7], exact)
    assert 0 < apart(found, expected) <= 0.01 * np.abs(expected).max()


def test_first_layer_is_the_state_after_one_layer(tmp_path: Path) -> None:
    one = load_reference(write_checkpoint(tmp_path, layers=1))
    ids = random_ids(20)
    model = one._model
    normed = model._head(model._normalize(torch.from_numpy(one.first_layer(ids)), model._norm))
    expected = logits(one, [ids])[-1]
    assert apart(normed.numpy(), expected) <= 1e-3 * np.abs(expected).max()  # its cache is float16


def test_a_full_cache_is_refused(decoder: TorchDecoder) -> None:
    full = cache(decoder, 8)
    decoder.forward(random_ids(8), full)
    with pytest.raises(ValueError, match="1 tokens at position 8 of a cache for 8"):
        decoder.forward([5], full)
    assert len(full.ids) == 8


@pytest.mark.parametrize("ids", [[5, 300], [-1]])
def test_an_id_out_of_range_is_refused(decoder: TorchDecoder, ids: list[int]) -> None:
    empty = cache(decoder, 8)
    with pytest.raises(ValueError, match=f"ids {min(ids)} to {max(ids)} of a vocabulary of 300"):
        decoder.forward(ids, empty)
    assert empty.ids == []


@pytest.mark.parametrize("window", [0, 1, 3, 8])
@pytest.mark.parametrize(("start", "stop"), [(0, 5), (4, 5), (0, 1), (6, 12)])
def test_a_token_sees_its_window(start: int, stop: int, window: int) -> None:
    span = Span.of(start, stop, window)
    for row, token in enumerate(range(start, stop)):
        seen = range(span.first, stop) if span.mask is None else span.first + np.flatnonzero(span.mask[row])
        assert list(seen) == [at for at in range(token + 1) if not window or token - at < window]


@pytest.mark.parametrize("name", load_catalog().models)
def test_rotary_tables_are_those_of_training(name: str) -> None:
    """To the last float32 bit or two, over 4,096 positions."""
    config = load_catalog().models[name].config
    rotary = LlamaRotaryEmbedding(
        LlamaConfig(
            **config.config_json()
            | {
                "architectures": ["LlamaForCausalLM"],
                "model_type": "llama",
                "rope_scaling": rope(config.rope_scaling),
            }
        )
    )
    theirs = rotary(torch.zeros(1), torch.arange(4096)[None])
    for found, expected in zip(rotary_table(config.model, 4096), theirs, strict=True):
        assert apart(found, expected[0, :, : config.head_dim // 2].numpy()) <= 2**-22


def rope(scaling: dict[str, str | float] | None) -> dict[str, str | float] | None:
    """transformers wants a whole number for a length."""
    key = "original_max_position_embeddings"
    return scaling and scaling | {key: int(scaling[key])}
