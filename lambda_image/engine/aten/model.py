"""The decoder: a Llama, its weights given, its state in a KV cache. Activations and cache are float32.

`forward` is the whole model: prefill is one call with many ids, decode one call with one id.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from lambda_image.engine.aten.linear import Linear
from lambda_image.engine.aten.rope import rotary_table, rotate
from lambda_image.engine.bundle.config import ModelConfig


@dataclass(frozen=True)
class Layer:
    """One decoder layer. Norm weights are float32 [hidden]."""

    attention_norm: torch.Tensor
    qkv: Linear
    out: Linear
    mlp_norm: torch.Tensor
    gate_up: Linear
    down: Linear


@dataclass(frozen=True)
class Llama:
    """A decoder: `embedding` [vocabulary, hidden] in any float type, everything else as in `Layer`."""

    config: ModelConfig
    embedding: torch.Tensor
    layers: Sequence[Layer]
    norm: torch.Tensor
    head: Linear

    @torch.inference_mode()
    def forward(self, ids: Sequence[int], cache: "KVCache", *, every_position: bool = False) -> torch.Tensor:
        """Appends `ids` to the cache; returns the logits [vocabulary] after the last, or [ids, vocabulary].

        ValueError if the cache has no room for them.
        """
        start, stop = len(cache.ids), len(cache.ids) + len(ids)
        if not ids or stop > cache.capacity:
            raise ValueError(f"{len(ids)} tokens at position {start} of a cache for {cache.capacity}")
        rotary = cache.cos[start:stop, None], cache.sin[start:stop, None]
        mask = None
        if len(ids) > 1:  # token i sees what came before it and itself
            mask = torch.ones(len(ids), stop, dtype=torch.bool).tril(start)
        x = self.embedding[list(ids)].float()
        for layer, keys, values in zip(self.layers, cache.keys, cache.values, strict=True):
            normal = self._normalize(x, layer.attention_norm)
            x = x + self._attention(layer, normal, keys, values, rotary, mask, start)
            gate, up = layer.gate_up(self._normalize(x, layer.mlp_norm)).chunk(2, dim=-1)
            x = x + layer.down(F.silu(gate) * up)
        cache.ids.extend(ids)
        logits = self.head(self._normalize(x if every_position else x[-1:], self.norm))
        return logits if every_position else logits[0]

    def _attention(
        self,
        layer: Layer,
        x: torch.Tensor,  # [tokens, hidden]
        keys: torch.Tensor,  # [kv heads, capacity, head dim]
        values: torch.Tensor,
        rotary: tuple[torch.Tensor, torch.Tensor],
        mask: torch.Tensor | None,  # [tokens, live length]
        start: int,
    ) -> torch.Tensor:
        config = self.config
        tokens, stop = len(x), start + len(x)
        rotated = config.num_attention_heads + config.num_key_value_heads
        heads = layer.qkv(x).view(tokens, -1, config.head_dim)
        queries_keys = rotate(heads[:, :rotated], *rotary)
        keys[:, start:stop] = queries_keys[:, config.num_attention_heads :].transpose(0, 1)
        values[:, start:stop] = heads[:, rotated:].transpose(0, 1)
        attended = F.scaled_dot_product_attention(
            queries_keys[None, :, : config.num_attention_heads].transpose(1, 2),
            keys[None, :, :stop],
            values[None, :, :stop],
            attn_mask=mask,
            enable_gqa=config.num_key_value_heads < config.num_attention_heads,
        )  # [1, heads, tokens, head dim]
        return layer.out(attended[0].transpose(0, 1).reshape(tokens, -1))

    def _normalize(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return F.rms_norm(x, weight.shape, weight, self.config.rms_norm_eps)


class KVCache:
    """Keys and values, each float32 [layers, kv heads, capacity, head dim], of the tokens in `ids`.

    Memory is taken page by page as the cache fills.
    """

    def __init__(self, config: ModelConfig, capacity: int) -> None:
        shape = (config.num_hidden_layers, config.num_key_value_heads, capacity, config.head_dim)
        self.capacity = capacity
        self.ids: list[int] = []
        self.keys, self.values = torch.empty(shape), torch.empty(shape)
        self.cos, self.sin = rotary_table(config, capacity)

    def keep_prefix(self, ids: Sequence[int]) -> int:
        """Forgets all but the longest common prefix with `ids`; returns its length."""
        kept = 0
        while kept < min(len(ids), len(self.ids)) and ids[kept] == self.ids[kept]:
            kept += 1
        del self.ids[kept:]
        return kept


def assemble(
    config: ModelConfig, tensor: Callable[[str], torch.Tensor], linear: Callable[[str], Linear]
) -> Llama:
    """A decoder of the plan's tensors, fetched by name."""
    return Llama(
        config=config,
        embedding=tensor("embedding"),
        layers=[
            Layer(
                attention_norm=tensor(f"layers.{index}.attention_norm"),
                qkv=linear(f"layers.{index}.qkv"),
                out=linear(f"layers.{index}.out"),
                mlp_norm=tensor(f"layers.{index}.mlp_norm"),
                gate_up=linear(f"layers.{index}.gate_up"),
                down=linear(f"layers.{index}.down"),
            )
            for index in range(config.num_hidden_layers)
        ],
        norm=tensor("norm"),
        head=linear("head"),
    )
