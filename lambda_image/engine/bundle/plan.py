"""Every tensor of a decoder in order of first use: the order of the bytes in a bundle, and the list that
checkpoints and bundles are checked against before any work.

Matrices that read the same input are stacked along their rows (query, key and value; gate and up), so that a
layer is four matrix products.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from lambda_image.engine.bundle.config import ModelConfig
from lambda_image.engine.bundle.layout import Kind, packed_bytes
from lambda_image.engine.bundle.manifest import EMBEDDING, WEIGHTS


@dataclass(frozen=True)
class Source:
    """One tensor of the checkpoint."""

    name: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Planned:
    """One tensor of the decoder: its sources stacked along dimension 0. A matrix's `biases` stack likewise;
    rows of sources without one have the bias 0."""

    name: str
    kind: Kind
    sources: tuple[Source, ...]
    biases: tuple[Source, ...] = ()
    file: str = WEIGHTS

    @property
    def shape(self) -> tuple[int, ...]:
        return (sum(source.shape[0] for source in self.sources), *self.sources[0].shape[1:])

    @property
    def size(self) -> int:
        """Number of parameters, biases included."""
        return math.prod(self.shape) + sum(source.shape[0] for source in self.biases)

    @property
    def nbytes(self) -> int:
        """Bytes in the bundle."""
        if self.kind == "float32":
            return 4 * math.prod(self.shape)
        rows, columns = self.shape
        return packed_bytes(rows, columns)


def plan(config: ModelConfig) -> Iterator[Planned]:
    """The decoder's tensors in order of first use. Tied, it has no `embedding`: rows are gathered out of
    `head`."""
    embedding = Source("model.embed_tokens.weight", (config.vocab_size, config.hidden_size))
    if not config.tie_word_embeddings:
        yield Planned("embedding", "int4", (embedding,), file=EMBEDDING)
    for index in range(config.num_hidden_layers):
        yield from _layer(config, index)
    yield Planned("norm", "float32", (Source("model.norm.weight", (config.hidden_size,)),))
    head = embedding if config.tie_word_embeddings else Source("lm_head.weight", embedding.shape)
    yield Planned("head", "int4", (head,))


def _layer(config: ModelConfig, index: int) -> Iterator[Planned]:
    hidden, inner = config.hidden_size, config.intermediate_size
    queries = config.num_attention_heads * config.head_dim
    keys = config.num_key_value_heads * config.head_dim

    def vector(name: str, source: str, width: int) -> Planned:
        key = f"model.layers.{index}.{source}.weight"
        return Planned(f"layers.{index}.{name}", "float32", (Source(key, (width,)),))

    def matrix(name: str, rows: dict[str, int], columns: int, *, bias: bool = False) -> Planned:
        keys = {f"model.layers.{index}.{source}": count for source, count in rows.items()}
        return Planned(
            f"layers.{index}.{name}",
            "int4",
            tuple(Source(f"{key}.weight", (count, columns)) for key, count in keys.items()),
            tuple(Source(f"{key}.bias", (count,)) for key, count in keys.items()) if bias else (),
        )

    yield vector("attention_norm", "input_layernorm", hidden)
    qkv = {"self_attn.q_proj": queries, "self_attn.k_proj": keys, "self_attn.v_proj": keys}
    yield matrix("qkv", qkv, hidden, bias=config.attention_bias)
    if config.qk_norm:
        yield vector("q_norm", "self_attn.q_norm", config.head_dim)
        yield vector("k_norm", "self_attn.k_norm", config.head_dim)
    yield matrix("out", {"self_attn.o_proj": hidden}, queries, bias=config.output_bias)
    yield vector("mlp_norm", "post_attention_layernorm", hidden)
    yield matrix("gate_up", {"mlp.gate_proj": inner, "mlp.up_proj": inner}, hidden)
    yield matrix("down", {"mlp.down_proj": hidden}, inner)
