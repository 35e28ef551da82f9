"""How fast the engine is here: `python -m bench.engine [--checkpoint models/demo] [--random 512x8]`.

Prefill reads the prompt (bound by arithmetic), decode one token after another (bound by reading every weight
once per token). The int4 bundle and the float32 reference take turns, so that a busy machine slows both
alike; medians with ranges. The last line of stdout is one JSON document: `python -m bench.engine | tail -1 |
jq .paths.int4`.
"""

import json
import platform
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import Annotated

import torch
import typer

from lambda_image.engine.aten.model import KVCache, Llama
from lambda_image.engine.aten.reference import load_reference
from lambda_image.engine.bundle.manifest import WEIGHTS, read_manifest
from lambda_image.engine.bundle.plan import plan
from lambda_image.engine.convert.write import write_bundle
from lambda_image.engine.engine import Engine
from lambda_image.engine.errors import CheckpointError
from lambda_image.engine.generation.generate import PREFILL_CHUNK
from lambda_image.engine.load import Loader
from tests.checkpoints import write_checkpoint

PROMPT, TOKENS = 128, 64  # prompt tokens, decoded tokens per run

Numbers = dict[str, float]


def main(
    checkpoint: Annotated[Path, typer.Option(help="A checkpoint in Hugging Face's layout.")] = Path(
        "models/demo"
    ),
    random_shape: Annotated[
        str, typer.Option("--random", metavar="HIDDENxLAYERS", help="Random weights of this shape instead.")
    ] = "",
    runs: Annotated[int, typer.Option(min=5, help="Interleaved runs of each path.")] = 5,
    threads: Annotated[int, typer.Option(help="0: as the engine decides.")] = 0,
) -> None:
    """Prefill and decode speed of int4 beside float32."""
    with tempfile.TemporaryDirectory() as scratch:
        if random_shape:
            checkpoint = _random_checkpoint(Path(scratch) / random_shape, random_shape)
        bundle = Path(scratch) / "bundle"
        try:
            write_bundle(checkpoint, bundle)
        except CheckpointError as error:
            raise typer.BadParameter(str(error)) from None
        document = _measure(checkpoint, bundle, runs, threads or None)
    print(json.dumps(document))


def _measure(checkpoint: Path, bundle: Path, runs: int, threads: int | None) -> dict[str, object]:
    load_s = Engine.load(bundle, threads=threads).load_s
    manifest = read_manifest(bundle)
    models = {"int4": Loader(bundle, manifest).model, "float32": load_reference(checkpoint)}
    weights = sum(planned.size for planned in plan(manifest.config))
    size = f"{weights / 1e6:.1f} M weights"
    print(f"{manifest.name}: {size}, {manifest.layout}, threads: {torch.get_num_threads()}")
    print(f"load {load_s:.3f} s (bundle in the page cache, imports not counted)")
    rates: dict[str, list[Numbers]] = {name: [] for name in models}
    for model in models.values():
        _run(model)  # warm-up
    for _ in range(runs):
        for name, model in models.items():
            rates[name].append(_run(model))
    paths = {
        name: {key: _spread([run[key] for run in found]) for key in found[0]} for name, found in rates.items()
    }
    for name, path in paths.items():
        for key, spread in path.items():
            between = f"{spread['min']:.1f} to {spread['max']:.1f}"
            print(f"{name:8} {key:7} {spread['median']:10.1f} tokens/s   {between}")
    return {
        "bench": "engine",
        "model": manifest.name,
        "weights": weights,
        "machine": f"{platform.system()} {platform.machine()}, {_cpu()}",
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "layout": manifest.layout,
        "bundle_bytes": (bundle / WEIGHTS).stat().st_size,
        "load_s": round(load_s, 4),
        "prompt_tokens": PROMPT,
        "decoded_tokens": TOKENS,
        "prefill_chunk": PREFILL_CHUNK,
        "runs": runs,
        "unit": "tokens/s",
        "paths": paths,
    }


def _run(model: Llama) -> Numbers:
    """Tokens per second of one prompt and of the tokens after it."""
    cache = KVCache(model.config, PROMPT + TOKENS)
    ids = random.Random(0).choices(range(model.config.vocab_size), k=PROMPT + TOKENS)
    began = time.perf_counter()
    for start in range(0, PROMPT, PREFILL_CHUNK):
        model.forward(ids[start : start + PREFILL_CHUNK], cache)
    middle = time.perf_counter()
    for token in ids[PROMPT:]:
        model.forward([token], cache)
    return {"prefill": PROMPT / (middle - began), "decode": TOKENS / (time.perf_counter() - middle)}


def _spread(values: list[float]) -> Numbers:
    found = {"median": statistics.median(values), "min": min(values), "max": max(values)}
    return {name: round(value, 1) for name, value in found.items()}


def _random_checkpoint(folder: Path, shape: str) -> Path:
    try:
        hidden, layers = (int(part) for part in shape.split("x"))
    except ValueError:
        raise typer.BadParameter(f"{shape!r} is not HIDDENxLAYERS, such as 512x8") from None
    heads = max(hidden // 64, 1)
    return write_checkpoint(
        folder,
        hidden=hidden,
        inner=hidden * 3,
        layers=layers,
        heads=heads,
        kv_heads=heads // 4 or 1,
        head_dim=64,
        context=2048,
        dtype=torch.bfloat16,
    )


def _cpu() -> str:
    """The processor's name, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.split(":")[1].strip() for line in lines if line.startswith(("model name", "CPU part"))), "?"
    )


if __name__ == "__main__":
    typer.run(main)
