"""llama.cpp's side of the benches: runs in the environment of `make bench-env`, started by `bench.llama`.

Answers JSON lines, see `bench.lines`. Everything is at llama.cpp's defaults (memory-mapped, weights repacked
for the CPU where it has a better layout, float16 KV cache), through the C interface, so that the Python
binding adds nothing.
"""

import ctypes
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np

from bench.lines import serve


class Player:
    """One model with one sequence."""

    def version(self) -> dict[str, Any]:
        return {
            "llama_cpp_python": llama_cpp.__version__,
            "system_info": llama_cpp.llama_print_system_info().decode().strip(),
        }

    def open(self, model: str, threads: int, capacity: int) -> float:
        """Loads a GGUF file; seconds."""
        began = time.perf_counter()
        llama_cpp.llama_backend_init()
        self._model = llama_cpp.llama_model_load_from_file(
            model.encode(), llama_cpp.llama_model_default_params()
        )
        settings = llama_cpp.llama_context_default_params()
        settings.n_ctx = settings.n_batch = capacity
        settings.n_threads = settings.n_threads_batch = threads
        self._context = llama_cpp.llama_init_from_model(self._model, settings)
        if not self._context:
            raise SystemExit(f"llama.cpp can't open {model}")
        self._vocabulary = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self._model))
        return time.perf_counter() - began

    def prefill(self, ids: Sequence[int]) -> float:
        """Forgets everything, then reads a prompt; seconds."""
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self._context), False)
        return self._forward(ids)

    def decode(self, ids: Sequence[int]) -> list[float]:
        """Seconds of each id, one after another."""
        return [self._forward([token]) for token in ids]

    def logits(self) -> list[float]:
        """Of the last token."""
        pointer = llama_cpp.llama_get_logits_ith(self._context, -1)
        return [float(value) for value in np.ctypeslib.as_array(pointer, (self._vocabulary,))]

    def best(self) -> int:
        """The most likely next token, as a greedy sampler takes it."""
        pointer = llama_cpp.llama_get_logits_ith(self._context, -1)
        return int(np.ctypeslib.as_array(pointer, (self._vocabulary,)).argmax())

    def save(self, path: str, ids: Sequence[int]) -> int:
        """Writes the state after `ids`; bytes."""
        tokens = (llama_cpp.llama_token * len(ids))(*ids)
        if not llama_cpp.llama_state_save_file(self._context, path.encode(), tokens, len(ids)):
            raise SystemExit(f"llama.cpp can't write its state to {path}")
        return Path(path).stat().st_size

    def restore(self, path: str, capacity: int) -> float:
        """Reads a state that `save` wrote; seconds."""
        began = time.perf_counter()
        tokens, count = (llama_cpp.llama_token * capacity)(), ctypes.c_size_t()
        if not llama_cpp.llama_state_load_file(
            self._context, path.encode(), tokens, capacity, ctypes.byref(count)
        ):
            raise SystemExit(f"llama.cpp can't read its state from {path}")
        return time.perf_counter() - began

    def extend(self, ids: Sequence[int]) -> float:
        """Appends ids to what the context holds; seconds."""
        return self._forward(ids)

    def write(self, specification: str) -> int:
        """A GGUF file of a bundle's weights; bytes."""
        from bench.gguf_file import write_gguf

        return write_gguf(json.loads(Path(specification).read_text(encoding="utf-8")))

    def _forward(self, ids: Sequence[int]) -> float:
        began = time.perf_counter()
        tokens = (llama_cpp.llama_token * len(ids))(*ids)
        if llama_cpp.llama_decode(self._context, llama_cpp.llama_batch_get_one(tokens, len(ids))):
            raise SystemExit(f"llama_decode failed on {len(ids)} ids")
        llama_cpp.llama_get_logits_ith(self._context, -1)  # waits for the result
        return time.perf_counter() - began


if __name__ == "__main__":
    player = Player()
    names = ("version", "open", "prefill", "decode", "logits", "best", "save", "restore", "extend", "write")
    serve({name: getattr(player, name) for name in names})
