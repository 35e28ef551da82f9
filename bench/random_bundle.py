"""Bundles of random weights in a catalog model's real shape, packed directly: no float checkpoint is needed.

Kept in `.cache/bench/`, because the large one takes minutes.
"""

import json
import math
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bench.common import CACHE
from bench.vocabulary import write_tokenizer
from lambda_image.engine.bundle.config import parse_config, read_generation
from lambda_image.engine.bundle.layout import GROUP, LAYOUT, PANEL, Bytes, Floats, pack
from lambda_image.engine.bundle.load import open_bundle
from lambda_image.engine.bundle.manifest import (
    ENGINE,
    FORMAT,
    MANIFEST,
    FileEntry,
    Manifest,
    TensorEntry,
    default_context,
    read_manifest,
    sha256_file,
)
from lambda_image.engine.bundle.plan import Planned, plan
from lambda_image.engine.bundle.weights import WeightsWriter
from lambda_image.engine.convert.catalog import load_catalog
from lambda_image.engine.errors import BundleError
from lambda_image.engine.golden import make_golden
from lambda_image.engine.kernels import open_decoder

SLICE = 1 << 24  # weights at a time
DEVIATION = math.sqrt((15**2 - 1) / 12)  # of integers drawn evenly from -7..7
CONTROL_IDS = 128_000, [128_001, 128_008, 128_009]  # bos, eos of Llama 3's vocabulary


def random_bundle(shape: str) -> Path:
    """The bundle of this catalog name, made if it isn't there. CatalogError for an unknown name."""
    entry = load_catalog().find(shape)
    out = CACHE / entry.name
    try:
        if read_manifest(out).engine == ENGINE:
            return out
    except BundleError:
        pass
    print(f"writing {out} ({entry.bundle_bytes / 1e9:.1f} GB of random weights)", flush=True)
    shutil.rmtree(out, ignore_errors=True)
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    bos, eos = CONTROL_IDS
    config = entry.config.config_json() | {"bos_token_id": bos, "eos_token_id": eos}
    (partial / "config.json").write_text(json.dumps(config), encoding="utf-8")
    write_tokenizer(partial, entry.config.vocab_size)
    manifest = _fill(partial, entry.name)
    (partial / "config.json").unlink()  # a bundle has none
    (partial / MANIFEST).write_text(manifest.model_dump_json(), encoding="utf-8")
    partial.rename(out)
    return out


def _fill(folder: Path, name: str) -> Manifest:
    config = parse_config(json.loads((folder / "config.json").read_text(encoding="utf-8")))
    planned = list(plan(config))
    tensors: dict[str, TensorEntry] = {}
    files: dict[str, FileEntry] = {}
    for file in dict.fromkeys(tensor.file for tensor in planned):
        with WeightsWriter(folder / file) as writer:
            for number, tensor in enumerate(planned):
                if tensor.file == file:
                    writer.add(tensor, _random(tensor, np.random.default_rng(number)))
            entries, files[file] = writer.finish()
            tensors |= entries
    for file in ("tokenizer.json", "tokenizer_config.json"):
        files[file] = FileEntry(size=(folder / file).stat().st_size, sha256=sha256_file(folder / file))
    manifest = Manifest(
        format=FORMAT,
        engine=ENGINE,
        name=name,
        source_sha256="random",
        layout=LAYOUT,
        group_size=GROUP,
        context_length=default_context(config),
        config=config,
        generation=read_generation(folder),
        tensors=tensors,
        files=files,
    )
    opened = open_bundle(folder, manifest)
    return manifest.model_copy(update={"golden": make_golden(opened, open_decoder(opened))})


def _random(tensor: Planned, rng: np.random.Generator) -> Iterator[Bytes]:
    if tensor.kind == "float32":
        yield rng.uniform(0.8, 1.2, tensor.shape).astype(np.float32).view(np.uint8)
        return
    rows, columns = tensor.shape
    step = SLICE // columns // PANEL * PANEL
    for start in range(0, rows, step):
        count = min(step, rows - start)
        weights = rng.integers(-7, 8, (count, columns), np.int8)
        yield pack(weights, _scales(rng, count, columns))


def _scales(rng: np.random.Generator, rows: int, columns: int) -> Floats:
    """Such that a product of normalized states stays of their size; exact in bfloat16 and in float16."""
    scales = rng.uniform(0.5, 1.5, (rows, columns // GROUP)).astype(np.float32)
    scales /= np.float32(DEVIATION * math.sqrt(columns))
    return (scales.view(np.uint32) & 0xFFFF0000).view(np.float32)
