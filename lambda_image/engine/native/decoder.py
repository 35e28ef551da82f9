"""The decoder on the native library: numpy arrays in and out, weights where they are mapped."""

import ctypes
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lambda_image.engine.bundle.config import ModelConfig
from lambda_image.engine.bundle.layout import packed_bytes
from lambda_image.engine.bundle.plan import plan
from lambda_image.engine.bundle.rope import rotary_table
from lambda_image.engine.decoder import Logits
from lambda_image.engine.errors import EngineError
from lambda_image.engine.generation.cache import KVCache
from lambda_image.engine.native.cpu import default_threads, describe
from lambda_image.engine.native.library import (
    Layer,
    Matrix,
    Model,
    choose_isa,
    load,
)

SPIN_US = 200  # bridges the steps of a token, not the pause between two: a quota counts waiting awake as work
POSITIONS = 2048  # that the rotary table begins with; a larger cache makes it larger


class Profile(NamedTuple):
    """Seconds in matrix products (with SwiGLU, which runs inside one), in attention, in everything else."""

    products: float
    attention: float
    rest: float


class NativeDecoder:
    """A `Decoder`. `tensor(name)` gives a matrix's packed bytes, uint8, or a norm's weights, float32, which
    stay where they are.

    `threads`: see `default_threads`. `isa`: see `choose_isa`. `spin_us`: how long an idle thread waits awake
    before it sleeps. EngineError if the library is missing, the CPU hasn't the instruction set, or a size of
    the model doesn't suit the kernels.
    """

    def __init__(
        self,
        config: ModelConfig,
        tensor: Callable[[str], npt.NDArray[Any]],
        *,
        threads: int | None = None,
        isa: str | None = None,
        spin_us: int = SPIN_US,
    ) -> None:
        self._config = config
        self._library = load()
        self._isa = choose_isa(isa)
        self._threads = threads or default_threads(sum(planned.size for planned in plan(config)))
        self._spin_us = spin_us
        self._tensors: list[npt.NDArray[Any]] = []  # the library has their addresses
        self._lock = threading.Lock()
        self._logits = np.empty(config.vocab_size, np.float32)
        self._model = self._describe_model(tensor)
        self._open(min(POSITIONS, config.max_position_embeddings))
        self.about = describe(self._isa, self._threads)

    @property
    def config(self) -> ModelConfig:
        """The model's."""
        return self._config

    @property
    def kernels(self) -> str:
        """Such as "native/avx2"."""
        return f"native/{self._isa}"

    def forward(self, ids: Sequence[int], cache: KVCache, *, every_position: bool = False) -> Logits:
        """Appends `ids` to the cache; returns the logits [vocabulary] after the last, or [ids, vocabulary].

        The caller's until the next call. Bit for bit the same however ids are grouped into calls, with any
        number of threads. ValueError if the cache has no room, or an id is out of range.
        """
        logits = np.empty((len(ids), self._config.vocab_size), np.float32) if every_position else self._logits
        start = len(cache.ids)
        self._run(
            ids, start, cache, self._config.num_hidden_layers, logits=logits, every_position=every_position
        )
        cache.ids.extend(ids)
        return logits

    def first_layer(self, ids: Sequence[int]) -> Logits:
        """The hidden state [hidden] of the last of `ids` after one layer: the self-test's short cut."""
        cache = KVCache(self._config.model_copy(update={"num_hidden_layers": 1}), len(ids))
        hidden = np.empty(self._config.hidden_size, np.float32)
        self._run(ids, 0, cache, 1, hidden=hidden)
        return hidden

    def profile(self) -> Profile:
        """Time spent since the last call. ValueError once the decoder is closed."""
        seconds = (ctypes.c_double * 3)()
        with self._lock:
            if not self._close.alive:
                raise ValueError("the decoder is closed")
            self._library.curtain_profile(self._handle, seconds)
        return Profile(*seconds)

    def close(self) -> None:
        """Ends the threads; the decoder can't be used any more. Garbage collection and exit do it too."""
        with self._lock:
            self._close()

    def _run(
        self,
        ids: Sequence[int],
        start: int,
        cache: KVCache,
        layers: int,
        *,
        hidden: npt.NDArray[np.float32] | None = None,
        logits: Logits | None = None,
        every_position: bool = False,
    ) -> None:
        if not ids or start + len(ids) > cache.capacity:
            raise ValueError(f"{len(ids)} tokens at position {start} of a cache for {cache.capacity}")
        if min(ids) < 0 or max(ids) >= self._config.vocab_size:
            raise ValueError(f"a token id is not in 0 to {self._config.vocab_size - 1}")
        shape = (layers, self._config.num_key_value_heads, cache.capacity, self._config.head_dim)
        for rows in (cache.keys, cache.values):
            if rows.shape != shape or rows.dtype != np.float16 or not rows.flags.c_contiguous:
                raise ValueError(
                    f"the cache must be contiguous float16 {shape}, is {rows.dtype} {rows.shape}"
                )
        given = np.asarray(ids, np.int32)
        with self._lock:
            if not self._close.alive:
                raise ValueError("the decoder is closed")
            if start + len(ids) > self._model.positions:
                self._close()
                self._open(cache.capacity)
            result = self._library.curtain_forward(
                self._handle,
                given.ctypes.data,
                len(given),
                start,
                cache.keys.ctypes.data,
                cache.values.ctypes.data,
                cache.capacity,
                layers,
                None if hidden is None else hidden.ctypes.data,
                None if logits is None else logits.ctypes.data,
                every_position,
            )
        if result:
            raise ValueError(f"the native library refused {len(ids)} tokens at position {start}: {result}")

    def _open(self, positions: int) -> None:
        cosines, sines = (np.ascontiguousarray(table) for table in rotary_table(self._config, positions))
        self._rotary = cosines, sines
        self._model.positions = positions
        self._model.cosines, self._model.sines = cosines.ctypes.data, sines.ctypes.data
        error = ctypes.create_string_buffer(256)
        handle = self._library.curtain_open(
            self._model, self._isa.encode(), self._threads, self._spin_us, error, len(error)
        )
        if not handle:
            raise EngineError(f"the native library can't run this model: {error.value.decode()}")
        self._handle = handle
        self._close = weakref.finalize(self, self._library.curtain_close, handle)

    def _describe_model(self, tensor: Callable[[str], npt.NDArray[Any]]) -> Model:
        config = self._config
        hidden, inner = config.hidden_size, config.intermediate_size
        queries, keys = (
            count * config.head_dim for count in (config.num_attention_heads, config.num_key_value_heads)
        )

        def address(name: str, dtype: npt.DTypeLike, nbytes: int) -> int:
            array = tensor(name)
            if array.dtype != dtype or array.nbytes != nbytes or not array.flags.c_contiguous:
                raise EngineError(f"{name} is {array.dtype} of {array.nbytes} bytes, needed are {nbytes}")
            self._tensors.append(array)
            return array.ctypes.data

        def vector(name: str, size: int) -> int:
            return address(name, np.float32, 4 * size)

        def matrix(name: str, rows: int, columns: int) -> Matrix:
            return Matrix(address(name, np.uint8, packed_bytes(rows, columns)), rows, columns)

        layers = (Layer * config.num_hidden_layers)()
        for index, layer in enumerate(layers):
            prefix = f"layers.{index}"
            layer.attention_norm = vector(f"{prefix}.attention_norm", hidden)
            layer.qkv = matrix(f"{prefix}.qkv", queries + 2 * keys, hidden)
            if config.qk_norm:
                layer.q_norm = vector(f"{prefix}.q_norm", config.head_dim)
                layer.k_norm = vector(f"{prefix}.k_norm", config.head_dim)
            layer.out = matrix(f"{prefix}.out", hidden, queries)
            layer.mlp_norm = vector(f"{prefix}.mlp_norm", hidden)
            layer.gate_up = matrix(f"{prefix}.gate_up", 2 * inner, hidden)
            layer.down = matrix(f"{prefix}.down", hidden, inner)
            layer.window = config.windows[index]
        head = matrix("head", config.vocab_size, hidden)
        tied = config.tie_word_embeddings
        return Model(
            hidden=hidden,
            inner=inner,
            heads=config.num_attention_heads,
            kv_heads=config.num_key_value_heads,
            head_dim=config.head_dim,
            layers=config.num_hidden_layers,
            vocabulary=config.vocab_size,
            norm_epsilon=config.rms_norm_eps,
            layer=layers,
            norm=vector("norm", hidden),
            embedding=head if tied else matrix("embedding", config.vocab_size, hidden),
            head=head,
        )
