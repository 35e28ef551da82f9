"""Our side of the benches: one decoder over a bundle, answering JSON lines like `bench.llama_child`."""

import os
import resource
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.lines import serve
from lambda_image.engine.bundle.load import open_bundle
from lambda_image.engine.bundle.readahead import ReadAhead
from lambda_image.engine.generation.cache import KVCache
from lambda_image.engine.generation.pace import Pace
from lambda_image.engine.generation.sampling import Sampler
from lambda_image.engine.kernels import open_decoder


class Player:
    """One decoder with one cache, driven as `generate` drives it."""

    def open(
        self, bundle: str, kernels: str, threads: int, capacity: int, spin_us: int | None = None
    ) -> dict[str, Any]:
        """`kernels` as in CURTAIN_KERNELS, or "reference" for a checkpoint; `spin_us` is for native ones."""
        path = Path(bundle)
        if kernels == "reference":
            import torch

            from lambda_image.engine.aten.reference import load_reference

            torch.set_num_threads(threads)
            self._decoder: Any = load_reference(path)
        elif spin_us is not None:
            from lambda_image.engine.native.decoder import NativeDecoder

            opened = open_bundle(path)
            self._decoder = NativeDecoder(
                opened.manifest.config, opened.tensor, threads=threads, spin_us=spin_us
            )
        else:
            self._decoder = open_decoder(open_bundle(path), threads=threads, setting=kernels)
        self._cache = KVCache(self._decoder.config, capacity)
        self._pace = Pace()
        return {"kernels": self._decoder.kernels}

    def read(self, path: str) -> int:
        """Reads a file as the handler does before the model is touched; bytes."""
        readahead = ReadAhead(Path(path))
        readahead.start()
        readahead.wait()
        return readahead.loaded_bytes

    def prefill(self, ids: Sequence[int]) -> float:
        """Forgets everything, then reads a prompt; seconds."""
        self._cache.ids.clear()
        began = time.perf_counter()
        while len(self._cache.ids) < len(ids):
            chunk = ids[len(self._cache.ids) :][: self._pace.chunk()]
            start = time.perf_counter()
            self._logits = self._decoder.forward(chunk, self._cache)
            self._pace.add(len(chunk), time.perf_counter() - start)
        return time.perf_counter() - began

    def fill(self, tokens: int) -> None:
        """A full context without the work: random keys and values."""
        rng = np.random.default_rng(0)
        for array in (self._cache.keys, self._cache.values):
            for layer in array:
                layer[:, :tokens] = rng.standard_normal(layer[:, :tokens].shape, np.float32)
        self._cache.ids[:] = [0] * tokens

    def rewind(self, tokens: int) -> None:
        """Back to the first so many tokens."""
        del self._cache.ids[tokens:]

    def decode(self, ids: Sequence[int]) -> list[float]:
        """Seconds of each id, one after another."""
        seconds = []
        for token in ids:
            began = time.perf_counter()
            self._logits = self._decoder.forward([token], self._cache)
            seconds.append(time.perf_counter() - began)
        return seconds

    def logits(self) -> list[float]:
        """Of the last token."""
        return [float(value) for value in self._logits]

    def profile(self) -> dict[str, float]:
        """Seconds since the last call, by what took them."""
        matmul, attention, rest = self._decoder.profile()
        return {"matmul": matmul, "attention": attention, "rest": rest}

    def sample(self, settings: dict[str, Any], times: int) -> float:
        """Seconds of one draw from the last logits."""
        from lambda_image.engine.bundle.config import Sampling

        sampler = Sampler(Sampling.model_validate(settings), seed=0)
        sampler.start(self._cache.ids)
        began = time.perf_counter()
        for _ in range(times):
            sampler(self._logits)
        return (time.perf_counter() - began) / times

    def usage(self) -> dict[str, int]:
        """Faults that had to read a disk, and memory in bytes: anonymous, of files, the peak of both."""
        status = dict(
            line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line
        )
        kilobytes = {name: int(status[name].split()[0]) for name in ("RssAnon", "RssFile", "VmHWM")}
        faults = resource.getrusage(resource.RUSAGE_SELF).ru_majflt
        return {"major_faults": faults} | {name: value << 10 for name, value in kilobytes.items()}

    def enter(self, group: str) -> None:
        """Moves this process, all its threads, into a cgroup."""
        Path(group).write_text(str(os.getpid()))


if __name__ == "__main__":
    player = Player()
    names = (
        *("open", "read", "prefill", "fill", "rewind", "decode"),
        *("logits", "profile", "sample", "usage", "enter"),
    )
    serve({name: getattr(player, name) for name in names})
