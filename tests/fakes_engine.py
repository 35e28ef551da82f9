"""A decoder small enough to read, whose logits depend on every token before, through the cache's memory."""

import zlib
from collections.abc import Iterator, Sequence

import numpy as np

from lambda_image.engine.bundle.config import ModelConfig
from lambda_image.engine.decoder import Logits
from lambda_image.engine.generation.cache import KVCache
from lambda_image.engine.generation.reply import Piece, ReplyEnd

VOCABULARY = 40


def small_config(vocabulary: int = VOCABULARY) -> ModelConfig:
    """One layer with one head: what a cache needs to have a shape."""
    return ModelConfig(
        architecture="LlamaForCausalLM",
        vocab_size=vocabulary,
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=16,
        num_key_value_heads=1,
        head_dim=2,
        rms_norm_eps=1e-5,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        rope_theta=10_000.0,
        llama3_rope=None,
        attention_bias=False,
        output_bias=False,
        qk_norm=False,
        windows=(0,),
    )


class FakeDecoder:
    """Writes each token's id into the cache's keys, and reads all of them back for each row of logits.

    `habit` is how much likelier than the rest the token is that a fixed rule names after the last two: text
    then repeats itself often, but never for sure.
    """

    kernels = "fake"

    def __init__(self, vocabulary: int = VOCABULARY, habit: float = 4.0) -> None:
        self.config = small_config(vocabulary)
        self.habit = habit
        self.calls: list[list[int]] = []

    def forward(self, ids: Sequence[int], cache: KVCache, *, every_position: bool = False) -> Logits:
        if len(cache.ids) + len(ids) > cache.capacity:
            raise ValueError("the cache has no room")
        self.calls.append(list(ids))
        rows = []
        for token in ids:
            cache.keys[0, 0, len(cache.ids), 0] = token
            cache.ids.append(token)
            rows.append(self.row([int(key) for key in cache.keys[0, 0, : len(cache.ids), 0]]))
        return np.stack(rows) if every_position else rows[-1]

    def row(self, seen: Sequence[int]) -> Logits:
        """The logits after `seen`."""
        noise = np.random.default_rng(zlib.crc32(str(seen).encode()))
        logits = noise.standard_normal(self.config.vocab_size).astype(np.float32)
        logits[(3 * seen[-1] + sum(seen[-2:-1])) % 7] += self.habit
        return logits

    def first_layer(self, ids: Sequence[int]) -> Logits:
        raise NotImplementedError("generation doesn't ask for it")


class ScriptedDecoder(FakeDecoder):
    """Says what `script` says, over and over, after a prompt of `prompt_length` tokens."""

    def __init__(self, script: Sequence[int], vocabulary: int = VOCABULARY) -> None:
        super().__init__(vocabulary)
        self.script = script
        self.prompt_length = 0

    def row(self, seen: Sequence[int]) -> Logits:
        logits = np.zeros(self.config.vocab_size, np.float32)
        logits[self.script[(len(seen) - self.prompt_length) % len(self.script)]] = 9.0
        return logits


class Letters:
    """A detokenizer: token 0 is "a", 26 is "A"."""

    def step(self, token: int) -> str:
        return "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"[token % 52]


SCENE = [
    {"role": "system", "content": "You tell a story."},
    {"role": "user", "content": "I knock at the gate 😀"},
]


def finish(reply: Iterator[Piece]) -> tuple[str, ReplyEnd]:
    *pieces, last = reply
    assert last.end is not None
    return "".join(piece.text for piece in [*pieces, last]), last.end
