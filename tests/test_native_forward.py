"""The native decoder: against numpy, against itself in other chunks and threads, and what it refuses."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from lambda_image.engine.bundle.config import Llama3Rope, ModelConfig
from lambda_image.engine.errors import EngineError
from lambda_image.engine.generation.cache import KVCache
from lambda_image.engine.native.decoder import NativeDecoder
from lambda_image.engine.native.library import instruction_sets
from tests.native_reference import model_config, random_tensors, reference_forward

ROPE = Llama3Rope(factor=8, low_freq_factor=1, high_freq_factor=4, original_max_position_embeddings=64)
MODELS = {
    "grouped queries": model_config(),
    "llama 3 rope": model_config(llama3_rope=ROPE, rope_theta=500_000.0),
    "one head each": model_config(num_key_value_heads=4, num_hidden_layers=3),
    "one head for all": model_config(num_attention_heads=6, num_key_value_heads=1, num_hidden_layers=1),
    "biases": model_config(attention_bias=True),
    "all biases": model_config(attention_bias=True, output_bias=True, num_hidden_layers=1),
    "query and key norms": model_config(qk_norm=True, head_dim=32),
    "norms and biases": model_config(qk_norm=True, attention_bias=True, num_hidden_layers=3),
    "sliding window": model_config(windows=(37, 0)),
    "windows of one block and more": model_config(windows=(128, 1, 150), num_hidden_layers=3),
    "untied": model_config(tie_word_embeddings=False, vocab_size=129),
    "head of 24": model_config(head_dim=24, num_attention_heads=4),
    "head of 64": model_config(head_dim=64, num_attention_heads=7, num_key_value_heads=1),
    "head of 128": model_config(head_dim=128, num_key_value_heads=4, windows=(0, 70)),
    "head of 80": model_config(head_dim=80, num_attention_heads=10, num_key_value_heads=2),
}
LENGTH = 300  # tokens: five chunks, three blocks of positions


def open_decoder(config: ModelConfig, seed: int = 0, **options: Any) -> NativeDecoder:
    return NativeDecoder(config, random_tensors(config, seed).__getitem__, **options)


def random_ids(config: ModelConfig, length: int = LENGTH, seed: int = 1) -> list[int]:
    return [int(i) for i in np.random.default_rng(seed).integers(0, config.vocab_size, length)]


def run(
    decoder: NativeDecoder, ids: Sequence[int], sizes: Sequence[int], capacity: int = LENGTH + 5
) -> tuple[npt.NDArray[np.float32], bytes]:
    """Logits of every position, and the bytes of the cache's written rows, when `ids` come in such calls."""
    cache = KVCache(decoder.config, capacity)
    cache.keys[:] = cache.values[:] = np.nan  # what isn't written must not be read
    logits, done = [], 0
    for size in sizes:
        logits.append(decoder.forward(ids[done : done + size], cache, every_position=True))
        done += size
    assert done == len(ids)
    rows = np.stack((cache.keys, cache.values))[..., :done, :]
    assert not np.isnan(rows).any()
    return np.concatenate(logits), rows.tobytes()


def errors(config: ModelConfig, length: int, isa: str) -> npt.NDArray[np.float64]:
    """Of every logit, relative to the logits' standard deviation."""
    ids = random_ids(config, length)
    logits, _ = run(open_decoder(config, isa=isa), ids, [length])
    _, expected = reference_forward(config, random_tensors(config), ids)
    relative: npt.NDArray[np.float64] = np.abs(logits - expected) / expected.std()
    return relative


# float32 against float64 carries an activation across a rounding now and then: a step of 1/127 in one term,
# of which later layers and tokens make more. Most logits of one layer, or of few tokens, see none.
@pytest.mark.parametrize("isa", instruction_sets())
@pytest.mark.parametrize("name", MODELS)
def test_forward_agrees_with_numpy(name: str, isa: str) -> None:
    config = MODELS[name]
    for window in sorted(set(config.windows)):
        found = errors(config.model_copy(update={"num_hidden_layers": 1, "windows": (window,)}), LENGTH, isa)
        assert np.median(found) < 1e-6, window
        assert np.quantile(found, 0.9) < 1e-5, window
    assert np.median(errors(config, 12, isa)) < 5e-6
    assert errors(config, LENGTH, isa).max() < 0.2


@pytest.mark.parametrize("isa", instruction_sets())
@pytest.mark.parametrize("name", MODELS)
def test_grouping_and_threads_change_no_bit(name: str, isa: str) -> None:
    config = MODELS[name]
    ids = random_ids(config)
    expected = run(open_decoder(config, isa=isa, threads=1), ids, [LENGTH])
    rng = np.random.default_rng(2)
    for threads in (1, 2, 3, 6):
        decoder = open_decoder(config, isa=isa, threads=threads, spin_us=20)
        cuts = [0, *sorted(rng.choice(np.arange(1, LENGTH), 9, replace=False)), LENGTH]
        for sizes in ([1] * LENGTH, [LENGTH], [int(size) for size in np.diff(cuts)]):
            logits, rows = run(decoder, ids, sizes)
            assert logits.tobytes() == expected[0].tobytes(), (threads, sizes)
            assert rows == expected[1], (threads, sizes)


def test_last_position_is_that_of_every_position() -> None:
    config = MODELS["sliding window"]
    ids = random_ids(config)
    decoder = open_decoder(config, threads=2)
    every, _ = run(decoder, ids, [LENGTH])
    for length in (1, 63, 64, 65, 128, LENGTH):
        logits = decoder.forward(ids[:length], KVCache(config, LENGTH))
        assert logits.shape == (config.vocab_size,)
        assert logits.tobytes() == every[length - 1].tobytes()


@pytest.mark.parametrize("length", [1, 64, 130])
def test_first_layer_agrees_with_numpy(length: int) -> None:
    config = MODELS["norms and biases"]
    ids = random_ids(config, length)
    hidden = open_decoder(config).first_layer(ids)
    expected = reference_forward(config, random_tensors(config), ids, layers=1)[0][-1]
    error = np.abs(hidden - expected) / expected.std()
    assert np.median(error) < 1e-5
    assert error.max() < 0.05


def test_cache_longer_than_the_first_rotary_table() -> None:
    config = model_config(num_hidden_layers=1)
    ids = random_ids(config, 2200)
    decoder = open_decoder(config, threads=2)
    logits, _ = run(decoder, ids, [2000, 200], capacity=2200)
    _, expected = reference_forward(config, random_tensors(config), ids)
    assert np.median(np.abs(logits - expected)) < 1e-4 * expected.std()


def test_kept_prefix_is_continued() -> None:
    config = MODELS["grouped queries"]
    ids = random_ids(config)
    decoder, cache = open_decoder(config), KVCache(config, LENGTH)
    decoder.forward([*ids[:100], *random_ids(config, 50, seed=9)], cache)
    assert cache.keep_prefix(ids) == 100
    logits = decoder.forward(ids[100:], cache)
    assert cache.ids == ids
    assert logits.tobytes() == run(decoder, ids, [LENGTH])[0][-1].tobytes()


@pytest.mark.parametrize("isa", instruction_sets())
def test_not_a_number_reaches_the_logits(isa: str) -> None:
    config = MODELS["grouped queries"]
    tensors = random_tensors(config)
    tensors["layers.0.attention_norm"][3] = np.nan
    decoder = NativeDecoder(config, tensors.__getitem__, isa=isa)
    assert np.isnan(decoder.forward([1, 2, 3], KVCache(config, 8))).all()


def test_refused_calls_leave_the_cache_alone() -> None:
    config = MODELS["grouped queries"]
    decoder, cache = open_decoder(config), KVCache(config, 4)
    decoder.forward([1, 2], cache)
    for ids, text in (
        ([1, 2, 3], "3 tokens at position 2 of a cache for 4"),
        ([], "0 tokens"),
        ([-1], "0 to 99"),
        ([100], "0 to 99"),
        ([1 << 40], "0 to 99"),
    ):
        with pytest.raises(ValueError, match=text):
            decoder.forward(ids, cache)
        assert cache.ids == [1, 2]
    with pytest.raises(ValueError, match="must be contiguous float16"):
        decoder.forward([1], KVCache(config, 4, np.float32))
    with pytest.raises(ValueError, match="must be contiguous float16"):
        decoder.forward([1], KVCache(MODELS["head of 64"], 4))
    decoder.close()
    decoder.close()
    with pytest.raises(ValueError, match="closed"):
        decoder.forward([1], cache)
    with pytest.raises(ValueError, match="closed"):
        decoder.profile()


def test_models_that_the_kernels_cannot_run_are_refused() -> None:
    with pytest.raises(EngineError, match="head_dim is not a multiple of 8"):
        open_decoder(model_config(head_dim=12, num_attention_heads=8))
    config = MODELS["grouped queries"]
    tensors = random_tensors(config) | {"layers.1.out": np.zeros(64, np.uint8)}
    with pytest.raises(EngineError, match=r"layers\.1\.out is uint8 of 64 bytes, needed are 2816"):
        NativeDecoder(config, tensors.__getitem__)
    with pytest.raises(EngineError, match="threads is not in 1 to 256"):
        open_decoder(config, threads=1000)


def test_closing_ends_the_threads() -> None:
    def running() -> int:
        return len(os.listdir("/proc/self/task")) if sys.platform == "linux" else 0

    before = running()
    for spin_us in (0, 100, 10_000_000):
        decoder = open_decoder(MODELS["grouped queries"], threads=5, spin_us=spin_us)
        assert running() == before + 4 * (sys.platform == "linux")
        decoder.close()
        assert running() == before
    decoder = open_decoder(MODELS["grouped queries"], threads=5)
    del decoder
    assert running() == before


WORKER = """
import sys
from tests.test_native_forward import MODELS, open_decoder, random_ids, run
config = MODELS["head of 128"]
ids = random_ids(config)
decoder = open_decoder(config, threads=3)
expected = run(decoder, ids, [300])
print("ready", flush=True)
for count in range(40):
    assert run(decoder, ids, [30] * 10)[0].tobytes() == expected[0].tobytes()
    print(count, flush=True)
"""


def test_freezes_in_the_middle_of_work_do_no_harm() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1]
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        for _ in range(15):  # not a matter of timing: the process works all the while
            process.send_signal(signal.SIGSTOP)
            time.sleep(0.02)
            process.send_signal(signal.SIGCONT)
            time.sleep(0.01)
        assert process.stdout.read().split() == [str(count) for count in range(40)]
        assert process.wait(timeout=60) == 0
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def test_a_forked_child_ends_without_the_threads() -> None:
    code = """
import os
from tests.test_native_forward import MODELS, open_decoder
decoder = open_decoder(MODELS["grouped queries"], threads=3)
child = os.fork()
if not child:
    decoder.close()
    os._exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
assert decoder.first_layer([1, 2, 3]).shape == (64,)
"""
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[1], check=True, timeout=60)
