"""The decoder on torch, its weights given, its state in a KV cache. Activations and sums are float32.

`forward` is the whole model: prefill is one call with many ids, decode one call with one id.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from lambda_image.engine.aten.linear import Linear
from lambda_image.engine.bundle.config import ModelConfig
from lambda_image.engine.bundle.rope import rotary_table
from lambda_image.engine.generation.cache import KVCache

Embed = Callable[[Sequence[int]], torch.Tensor]  # ids to float32 [ids, hidden]


@dataclass(frozen=True)
class Layer:
    """One decoder layer. Norm weights are float32, [hidden] or, of queries and keys, [head dim]."""

    attention_norm: torch.Tensor
    qkv: Linear
    q_norm: torch.Tensor | None
    k_norm: torch.Tensor | None
    out: Linear
    mlp_norm: torch.Tensor
    gate_up: Linear
    down: Linear
    window: int  # tokens that a token sees, itself included; 0: all


@dataclass(frozen=True)
class Span:
    """What the new tokens see of a cache: positions `first` to `stop`, by `mask` [new, stop - first]."""

    first: int
    stop: int
    mask: torch.Tensor | None  # None: all of it

    @classmethod
    def of(cls, start: int, stop: int, window: int) -> "Span":
        first = max(start - window + 1, 0) if window else 0
        if stop - start == 1:
            return cls(first, stop, None)
        seen, seeing = torch.arange(first, stop), torch.arange(start, stop)[:, None]
        mask = seen <= seeing
        return cls(first, stop, mask & (seen > seeing - window) if window else mask)


class Llama:
    """A decoder of any architecture in `ARCHITECTURES`."""

    def __init__(
        self, config: ModelConfig, embed: Embed, layers: Sequence[Layer], norm: torch.Tensor, head: Linear
    ) -> None:
        self.config = config
        self._embed, self._layers, self._norm, self._head = embed, layers, norm, head
        self._cosines, self._sines = torch.empty(0), torch.empty(0)

    @torch.inference_mode()
    def forward(self, ids: Sequence[int], cache: KVCache, *, every_position: bool = False) -> torch.Tensor:
        """Appends `ids` to the cache; returns the logits [vocabulary] after the last, or [ids, vocabulary].

        ValueError if the cache has no room for them, or an id is out of range.
        """
        x = self.hidden(ids, cache)
        cache.ids.extend(ids)
        logits = self._head(self._normalize(x if every_position else x[-1:], self._norm))
        return logits if every_position else logits[0]

    @torch.inference_mode()
    def hidden(self, ids: Sequence[int], cache: KVCache, layers: int | None = None) -> torch.Tensor:
        """States [ids, hidden] after so many layers (all), before the final norm. Their keys and values are
        in the cache afterwards, their ids not yet."""
        start, stop = len(cache.ids), len(cache.ids) + len(ids)
        if not ids or stop > cache.capacity:
            raise ValueError(f"{len(ids)} tokens at position {start} of a cache for {cache.capacity}")
        if not 0 <= min(ids) <= max(ids) < self.config.vocab_size:
            raise ValueError(f"ids {min(ids)} to {max(ids)} of a vocabulary of {self.config.vocab_size}")
        rotary = self._rotary(start, stop)
        used = self._layers[:layers]
        spans = {window: Span.of(start, stop, window) for window in {layer.window for layer in used}}
        x = self._embed(ids)
        for index, layer in enumerate(used):
            keys, values = torch.from_numpy(cache.keys[index]), torch.from_numpy(cache.values[index])
            normal = self._normalize(x, layer.attention_norm)
            x = x + self._attention(layer, normal, keys, values, rotary, spans[layer.window])
            gate, up = layer.gate_up(self._normalize(x, layer.mlp_norm)).chunk(2, dim=-1)
            x = x + layer.down(F.silu(gate) * up)
        return x

    def _attention(
        self,
        layer: Layer,
        x: torch.Tensor,  # [tokens, hidden]
        keys: torch.Tensor,  # [kv heads, capacity, head dim], float16 or float32
        values: torch.Tensor,
        rotary: tuple[torch.Tensor, torch.Tensor],
        span: Span,
    ) -> torch.Tensor:
        config, tokens = self.config, len(x)
        sizes = [config.num_attention_heads, config.num_key_value_heads, config.num_key_value_heads]
        heads = layer.qkv(x).view(tokens, -1, config.head_dim)
        queries, new_keys, new_values = torch.split(heads, sizes, dim=1)
        if layer.q_norm is not None and layer.k_norm is not None:
            queries = self._normalize(queries, layer.q_norm)
            new_keys = self._normalize(new_keys, layer.k_norm)
        start = span.stop - tokens
        keys[:, start : span.stop] = rotate(new_keys, *rotary).transpose(0, 1)
        values[:, start : span.stop] = new_values.transpose(0, 1)
        attended = F.scaled_dot_product_attention(
            rotate(queries, *rotary)[None].transpose(1, 2),
            keys[None, :, span.first : span.stop].float(),
            values[None, :, span.first : span.stop].float(),
            attn_mask=span.mask,
            enable_gqa=config.num_key_value_heads < config.num_attention_heads,
        )  # [1, heads, tokens, head dim]
        return layer.out(attended[0].transpose(0, 1).reshape(tokens, -1))

    def _normalize(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return F.rms_norm(x, weight.shape, weight, self.config.rms_norm_eps)

    def _rotary(self, start: int, stop: int) -> tuple[torch.Tensor, torch.Tensor]:
        """cos and sin of these positions, [positions, 1, head_dim / 2]; the table grows with them."""
        if stop > len(self._cosines):
            tables = rotary_table(self.config, max(stop, 2 * len(self._cosines)))
            self._cosines, self._sines = (torch.from_numpy(table) for table in tables)
        return self._cosines[start:stop, None], self._sines[start:stop, None]


def rotate(x: torch.Tensor, cosines: torch.Tensor, sines: torch.Tensor) -> torch.Tensor:
    """Rotates pairs (i, i + head_dim / 2) of x [tokens, heads, head_dim] by rows of the table."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cosines - second * sines, second * cosines + first * sines), dim=-1)


def assemble(
    config: ModelConfig,
    *,
    embed: Embed,
    vector: Callable[[str], torch.Tensor],
    linear: Callable[[str], Linear],
) -> Llama:
    """A decoder of the plan's tensors, fetched by name."""

    def layer(index: int, window: int) -> Layer:
        prefix = f"layers.{index}."
        return Layer(
            attention_norm=vector(prefix + "attention_norm"),
            qkv=linear(prefix + "qkv"),
            q_norm=vector(prefix + "q_norm") if config.qk_norm else None,
            k_norm=vector(prefix + "k_norm") if config.qk_norm else None,
            out=linear(prefix + "out"),
            mlp_norm=vector(prefix + "mlp_norm"),
            gate_up=linear(prefix + "gate_up"),
            down=linear(prefix + "down"),
            window=window,
        )

    layers = [layer(index, window) for index, window in enumerate(config.windows)]
    return Llama(config, embed, layers, vector("norm"), linear("head"))
