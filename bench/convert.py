"""What a conversion takes: `python -m bench.convert --shape llama3.1-8b --layers 4`.

A checkpoint of random bfloat16 weights in the real shape, in shards as published, becomes a bundle in a
process of its own, with the self-test's reference and the worlds' prefixes as `make model` does it: its peak
memory (anonymous, which counts against a laptop's; mapped files can be dropped), its time, and the same
inside a memory cgroup of the promised 4 GB where one can be made. Fewer layers change the time, not the peak.
The last line is one JSON document.
"""

import json
import shutil
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import torch
import typer
from safetensors.torch import save_file

from bench.cgroup import Cgroup
from bench.common import CACHE, REPOSITORY, finish
from bench.random_bundle import CONTROL_IDS
from bench.vocabulary import write_tokenizer
from lambda_image.engine.bundle.config import parse_config
from lambda_image.engine.bundle.plan import plan
from lambda_image.engine.convert.catalog import load_catalog

LIMIT = 4 << 30  # bytes
LOOK_S = 0.02  # between two looks at the process's memory
CONVERT = (
    "import sys; from pathlib import Path; from prologue.world import WORLDS;"
    "from lambda_image.engine.convert.finish import finish_bundle;"
    "from lambda_image.engine.convert.write import write_bundle;"
    "worlds = [path.parent for path in sorted(WORLDS.glob('*/world.yaml'))];"
    "write_bundle(Path(sys.argv[1]), Path(sys.argv[2]), finish=finish_bundle(worlds))"
)


def main(
    shape: Annotated[str, typer.Option(help="A catalog name: random weights of its shape.")] = "llama3.2-1b",
    layers: Annotated[int, typer.Option(help="Only so many; 0: all.")] = 0,
    keep: Annotated[bool, typer.Option(help="Keep the checkpoint for the next run.")] = False,
) -> None:
    """Memory and time of a conversion."""
    checkpoint = CACHE / f"{shape}-{layers or 'all'}-checkpoint"
    out = CACHE / f"{shape}-converted"
    if not (checkpoint / "model.safetensors.index.json").exists():
        shutil.rmtree(checkpoint, ignore_errors=True)
        _write_checkpoint(checkpoint, shape, layers)
    shutil.rmtree(out, ignore_errors=True)
    floats = sum(path.stat().st_size for path in checkpoint.glob("*.safetensors"))
    command = [sys.executable, "-c", CONVERT, str(checkpoint), str(out)]
    with ExitStack() as stack:
        group = stack.enter_context(Cgroup("memory", "convert")) if Cgroup.available("memory") else None
        if group is not None:
            group.set("memory.limit_in_bytes", LIMIT)
            command = ["sh", "-c", f'echo $$ > {group.procs}; exec "$@"', "sh", *command]
        began = time.monotonic()
        with subprocess.Popen(command, cwd=REPOSITORY) as process:
            anonymous, both = _watch(process)
        seconds = time.monotonic() - began
        cgroup_peak = int(group.get("memory.max_usage_in_bytes")) if group else None
    if process.returncode:
        raise SystemExit(f"the conversion failed ({process.returncode}): see above")
    bundle = sum(path.stat().st_size for path in out.iterdir())
    shutil.rmtree(out)
    if not keep:
        shutil.rmtree(checkpoint)
    print(f"{floats / 1e9:.2f} GB in {seconds:.1f} s; peak {anonymous / 2**20:,.0f} MB anonymous")
    finish(
        "convert",
        {
            "shape": shape,
            "layers": layers or "all",
            "checkpoint_bytes": floats,
            "bundle_bytes": bundle,
            "seconds": round(seconds, 2),
            "mb_per_s": round(floats / 1e6 / seconds, 1),
            "peak_anonymous_bytes": anonymous,
            "peak_with_mapped_files_bytes": both,
            "cgroup_limit_bytes": LIMIT if group else None,
            "cgroup_peak_bytes": cgroup_peak,  # with page cache, which fills what there is
            "within": {"memory": anonymous <= LIMIT},
        },
    )


def _watch(process: subprocess.Popen[bytes]) -> tuple[int, int]:
    """Peaks of a running process: anonymous bytes, and with mapped files."""
    anonymous, both = 0, 0
    status = Path(f"/proc/{process.pid}/status")
    while process.poll() is None:
        try:
            lines = status.read_text(encoding="utf-8").splitlines()
        except OSError:  # it just ended
            break
        told = dict(line.split(":", 1) for line in lines if ":" in line)
        if "RssAnon" in told:
            anonymous = max(anonymous, int(told["RssAnon"].split()[0]) << 10)
            both = max(both, int(told["VmHWM"].split()[0]) << 10)
        time.sleep(LOOK_S)
    process.wait()
    return anonymous, both


def _write_checkpoint(folder: Path, shape: str, layers: int) -> None:
    """Random bfloat16 weights, one shard per tensor of the plan."""
    entry = load_catalog().find(shape)
    bos, eos = CONTROL_IDS
    data = entry.config.config_json() | {"bos_token_id": bos, "eos_token_id": eos}
    data |= {"num_hidden_layers": layers or data["num_hidden_layers"], "torch_dtype": "bfloat16"}
    folder.mkdir(parents=True)
    print(f"writing {folder}", flush=True)
    (folder / "config.json").write_text(json.dumps(data), encoding="utf-8")
    write_tokenizer(folder, entry.config.vocab_size)
    generator = torch.Generator().manual_seed(0)
    where: dict[str, str] = {}
    for number, planned in enumerate(plan(parse_config(data))):
        tensors = {
            source.name: torch.randn(source.shape, generator=generator, dtype=torch.bfloat16) * 0.02
            for source in (*planned.sources, *planned.biases)
        }
        file = f"model-{number:05}.safetensors"
        save_file(tensors, folder / file, metadata={"format": "pt"})
        where |= dict.fromkeys(tensors, file)
    index = {"metadata": {}, "weight_map": where}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
