"""llama.cpp as the other engine: its interpreter, its file of the same weights.

It lives in an environment of its own (`make bench-env`): compiled here, for this CPU, with its defaults.
"""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from bench.common import CACHE, REPOSITORY
from bench.lines import Child
from lambda_image.engine.bundle.layout import PANEL, panel_bytes
from lambda_image.engine.bundle.load import Bundle, open_bundle
from lambda_image.engine.bundle.rope import rotary_table

PYTHON = REPOSITORY / ".venv-bench" / "bin" / "python"
MISSING = "{python} is missing: `make bench-env` installs llama.cpp's (it compiles about ten minutes)"

LlamaPython = Annotated[Path, typer.Option(help="The interpreter that has llama-cpp-python and gguf.")]


def start_llama(python: Path) -> Child:
    """llama.cpp, waiting to be asked; typer.BadParameter says what to do where it isn't installed."""
    if not python.exists():
        raise typer.BadParameter(MISSING.format(python=python), param_hint="--llama-python")
    return Child([str(python.absolute()), "-m", "bench.llama_child"])


def gguf_of(bundle: Path, python: Path) -> Path:
    """The bundle's weights for llama.cpp, written if they aren't there or older."""
    out = CACHE / f"{bundle.name}.gguf"
    if out.exists() and out.stat().st_mtime >= (bundle / "manifest.json").stat().st_mtime:
        return out
    print(f"writing {out}", flush=True)
    partial = out.with_name(f".{out.name}.partial")
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file, start_llama(python) as child:
        json.dump(_specify(open_bundle(bundle)) | {"out": str(partial)}, file)
        file.flush()
        child.ask("write", specification=file.name)
    partial.rename(out)
    return out


def _specify(bundle: Bundle) -> dict[str, Any]:
    """What `bench.gguf_file` needs to know, as JSON."""
    config = bundle.manifest.config
    tokenizer = json.loads((bundle.path / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary: dict[str, int] = tokenizer["model"]["vocab"]
    controls = {token["id"] for token in tokenizer["added_tokens"] if token["special"]}
    tokens = sorted(vocabulary, key=vocabulary.__getitem__)
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in tokenizer["model"]["merges"]]
    return {
        "weights": str(bundle.path),
        "config": config.model_dump(mode="json"),
        "tokens": tokens,
        "token_types": [3 if number in controls else 1 for number in range(len(tokens))],
        "merges": merges,
        "eos": bundle.manifest.generation.eos_token_ids[0],
        "tensors": list(_tensors(bundle)),
    }


def _tensors(bundle: Bundle) -> Iterator[dict[str, Any]]:
    config = bundle.manifest.config
    head_dim = config.head_dim
    queries, keys = config.num_attention_heads * head_dim, config.num_key_value_heads * head_dim
    inner = config.intermediate_size

    def vector(name: str, ours: str) -> dict[str, Any]:
        return {"name": f"{name}.weight", "values": bundle.vector(ours).tolist()}

    def matrix(name: str, ours: str, first: int = 0, rows: int = 0, turned: bool = False) -> dict[str, Any]:
        entry = bundle.manifest.tensors[ours]
        return {
            "name": f"{name}.weight",
            "file": entry.file,
            "offset": entry.offset + first // PANEL * panel_bytes(entry.shape[1]),
            "rows": rows or entry.shape[0],
            "columns": entry.shape[1],
            "head_dim": head_dim if turned else 0,
        }

    yield matrix("token_embd", "head" if config.tie_word_embeddings else "embedding")
    if config.llama3_rope is not None:
        plain = config.rope_theta ** -(np.arange(0, head_dim, 2) / head_dim)
        cosines, sines = rotary_table(config, 2)
        scaled = np.arctan2(sines[1], cosines[1])  # the angles of position 1 are the frequencies
        yield {"name": "rope_freqs.weight", "values": (plain / scaled).tolist()}
    for index in range(config.num_hidden_layers):
        ours, theirs = f"layers.{index}", f"blk.{index}"
        yield vector(f"{theirs}.attn_norm", f"{ours}.attention_norm")
        yield matrix(f"{theirs}.attn_q", f"{ours}.qkv", 0, queries, turned=True)
        yield matrix(f"{theirs}.attn_k", f"{ours}.qkv", queries, keys, turned=True)
        yield matrix(f"{theirs}.attn_v", f"{ours}.qkv", queries + keys, keys)
        yield matrix(f"{theirs}.attn_output", f"{ours}.out")
        yield vector(f"{theirs}.ffn_norm", f"{ours}.mlp_norm")
        yield matrix(f"{theirs}.ffn_gate", f"{ours}.gate_up", 0, inner)
        yield matrix(f"{theirs}.ffn_up", f"{ours}.gate_up", inner, inner)
        yield matrix(f"{theirs}.ffn_down", f"{ours}.down")
    yield vector("output_norm", "norm")
    if not config.tie_word_embeddings:
        yield matrix("output", "head")
