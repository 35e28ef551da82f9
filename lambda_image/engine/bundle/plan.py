"""Every tensor of a Llama decoder in order of first use: the order of the bytes in a bundle, and the list
that checkpoints and bundles are checked against before any work.

Matrices that read the same input are stacked along their rows (query, key and value; gate and up), so that a
layer is four matrix products.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from lambda_image.engine.bundle.config import ModelConfig


class Kind(Enum):
    """How a tensor is kept in a bundle."""

    TABLE = "table"  # rows are gathered: kept in the checkpoint's float type
    VECTOR = "vector"  # norm weights: float32
    MATRIX = "matrix"  # int4, groups along each row


@dataclass(frozen=True)
class Source:
    """One tensor of the checkpoint."""

    name: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Planned:
    """One tensor of the decoder: its sources stacked along dimension 0."""

    name: str
    kind: Kind
    sources: tuple[Source, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return (sum(source.shape[0] for source in self.sources), *self.sources[0].shape[1:])

    @property
    def size(self) -> int:
        """Number of weights."""
        return math.prod(self.shape)


def plan(config: ModelConfig) -> Iterator[Planned]:
    """The decoder's tensors in order of first use."""
    embedding = Source("model.embed_tokens.weight", (config.vocab_size, config.hidden_size))
    yield Planned("embedding", Kind.TABLE, (embedding,))
    for index in range(config.num_hidden_layers):
        yield from _layer(config, index)
    yield Planned("norm", Kind.VECTOR, (Source("model.norm.weight", (config.hidden_size,)),))
    head = embedding if config.tie_word_embeddings else Source("lm_head.weight", embedding.shape)
    yield Planned("head", Kind.MATRIX, (head,))


def _layer(config: ModelConfig, index: int) -> Iterator[Planned]:
    hidden, inner = config.hidden_size, config.intermediate_size
    queries = config.num_attention_heads * config.head_dim
    keys = config.num_key_value_heads * config.head_dim

    def planned(name: str, kind: Kind, sources: dict[str, tuple[int, ...]]) -> Planned:
        stacked = (Source(f"model.layers.{index}.{key}.weight", shape) for key, shape in sources.items())
        return Planned(f"layers.{index}.{name}", kind, tuple(stacked))

    yield planned("attention_norm", Kind.VECTOR, {"input_layernorm": (hidden,)})
    yield planned(
        "qkv",
        Kind.MATRIX,
        {
            "self_attn.q_proj": (queries, hidden),
            "self_attn.k_proj": (keys, hidden),
            "self_attn.v_proj": (keys, hidden),
        },
    )
    yield planned("out", Kind.MATRIX, {"self_attn.o_proj": (hidden, queries)})
    yield planned("mlp_norm", Kind.VECTOR, {"post_attention_layernorm": (hidden,)})
    yield planned("gate_up", Kind.MATRIX, {"mlp.gate_proj": (inner, hidden), "mlp.up_proj": (inner, hidden)})
    yield planned("down", Kind.MATRIX, {"mlp.down_proj": (hidden, inner)})
