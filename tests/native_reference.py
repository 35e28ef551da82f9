"""Random models for the native decoder, and its whole forward pass again in plain numpy."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lambda_image.engine.bundle.config import ModelConfig
from lambda_image.engine.bundle.layout import GROUP, dequantize, pack, unpack
from lambda_image.engine.bundle.plan import plan
from lambda_image.engine.bundle.rope import rotary_table

Floats = npt.NDArray[np.float64]
Tensors = dict[str, npt.NDArray[Any]]


def model_config(**changes: Any) -> ModelConfig:
    """A tiny decoder, grouped queries, tied; `changes` under Hugging Face's names."""
    fields: dict[str, Any] = {
        "architecture": "LlamaForCausalLM",
        "vocab_size": 100,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "rms_norm_eps": 1e-5,
        "max_position_embeddings": 4096,
        "tie_word_embeddings": True,
        "rope_theta": 10_000.0,
        "llama3_rope": None,
        "attention_bias": False,
        "output_bias": False,
        "qk_norm": False,
    } | changes
    fields.setdefault("windows", (0,) * fields["num_hidden_layers"])
    return ModelConfig.model_validate(fields)


def random_tensors(config: ModelConfig, seed: int = 0) -> Tensors:
    """What a bundle holds: packed matrices that keep activations near 1, norms around 1."""
    rng = np.random.default_rng(seed)
    tensors: Tensors = {}
    for planned in plan(config):
        if planned.kind == "float32":
            tensors[planned.name] = rng.uniform(0.5, 1.5, planned.shape).astype(np.float32)
            continue
        rows, columns = planned.shape
        weights = rng.integers(-8, 8, (rows, columns)).astype(np.int8)
        signs = rng.choice([-1, 1], (rows, columns // GROUP))
        scales = (signs * rng.uniform(0.2, 0.5, signs.shape) / np.sqrt(columns)).astype(np.float32)
        scales = (scales.view(np.uint32) & 0xFFFF0000).view(np.float32)
        bias = rng.normal(size=rows).astype(np.float32) if planned.biases else None
        tensors[planned.name] = pack(weights, scales, bias)
    return tensors


def reference_forward(
    config: ModelConfig, tensors: Tensors, ids: Sequence[int], layers: int | None = None
) -> tuple[Floats, Floats]:
    """States [ids, hidden] after `layers` layers, and the logits [ids, vocabulary] of these.

    float64, with the two roundings that are the engine's numerics: activations of matrix products to int8 by
    groups of 32, keys and values to float16.
    """
    heads, kv_heads, width = config.num_attention_heads, config.num_key_value_heads, config.head_dim
    cosines, sines = (table.astype(np.float64)[:, None] for table in rotary_table(config, len(ids)))
    positions = np.arange(len(ids))

    def product(name: str, x: Floats, rows: int) -> Floats:
        columns = x.shape[1]
        _, _, bias = unpack(tensors[name], rows, columns)
        groups = x.reshape(len(x), -1, GROUP)
        largest = np.abs(groups).max(-1, keepdims=True)
        rounded = np.rint(groups * (127 / np.where(largest, largest, 1))) * (largest / 127)
        weights = dequantize(tensors[name], rows, columns).astype(np.float64)
        product: Floats = rounded.reshape(x.shape) @ weights.T + bias
        return product

    def norm(name: str, x: Floats) -> Floats:
        scaled: Floats = x / np.sqrt((x**2).mean(-1, keepdims=True) + config.rms_norm_eps) * tensors[name]
        return scaled

    def rotate(x: Floats) -> Floats:
        first, second = np.split(x, 2, axis=-1)
        return np.concatenate((first * cosines - second * sines, second * cosines + first * sines), axis=-1)

    embedding = "head" if config.tie_word_embeddings else "embedding"
    x = dequantize(tensors[embedding], config.vocab_size, config.hidden_size)[list(ids)].astype(np.float64)
    for index in range(config.num_hidden_layers if layers is None else layers):
        prefix = f"layers.{index}"
        normal = norm(f"{prefix}.attention_norm", x)
        qkv = product(f"{prefix}.qkv", normal, (heads + 2 * kv_heads) * width).reshape(len(ids), -1, width)
        queries, keys, values = np.split(qkv, [heads, heads + kv_heads], axis=1)
        if config.qk_norm:
            queries, keys = norm(f"{prefix}.q_norm", queries), norm(f"{prefix}.k_norm", keys)
        queries, keys = rotate(queries), rotate(keys).astype(np.float16).astype(np.float64)
        values = values.astype(np.float16).astype(np.float64)
        seen = positions[None] <= positions[:, None]
        if window := config.windows[index]:
            seen &= positions[None] > positions[:, None] - window
        attended = np.empty_like(queries)
        for head in range(heads):
            shared = head // (heads // kv_heads)
            scores = np.where(seen, queries[:, head] @ keys[:, shared].T / np.sqrt(width), -np.inf)
            weights = np.exp(scores - scores.max(-1, keepdims=True))
            attended[:, head] = weights / weights.sum(-1, keepdims=True) @ values[:, shared]
        x = x + product(f"{prefix}.out", attended.reshape(len(ids), -1), config.hidden_size)
        inner = product(f"{prefix}.gate_up", norm(f"{prefix}.mlp_norm", x), 2 * config.intermediate_size)
        gate, up = np.split(inner, 2, axis=-1)
        x = x + product(f"{prefix}.down", gate / (1 + np.exp(-gate)) * up, config.hidden_size)
    return x, product("head", norm("norm", x), config.vocab_size)
