"""What an 8B model takes of a 10,240 MB function: `python -m bench.memory --shape llama3.1-8b`.

One process decodes at the end of a full context of 4,096 tokens, inside a memory cgroup of Lambda's largest
size (cgroup version 1, as root): its peak counts the page cache too, into which the weights are read there.
Without a cgroup the process's own peak is told. No page may be read from the disk again while it decodes, and
no second copy of the weights may exist: anonymous memory is little more than the KV cache. The last line is
one JSON document.
"""

import os
import sys
from contextlib import ExitStack
from typing import Annotated

import typer

from bench.cgroup import Cgroup
from bench.common import finish, spread
from bench.lines import Child
from bench.pagecache import drop, files_of
from bench.random_bundle import random_bundle
from lambda_image.engine.bundle.manifest import EMBEDDING, WEIGHTS, read_manifest

LIMIT_MB = 10_240  # Lambda's largest function
READ = 8  # tokens of a prompt: everything is read once
DECODED = 16


def main(
    shape: Annotated[str, typer.Option(help="A catalog name: random weights of its shape.")] = "llama3.1-8b",
    context: Annotated[int, typer.Option(help="Tokens of context.")] = 4096,
    threads: Annotated[int, typer.Option(min=1)] = os.cpu_count() or 1,
) -> None:
    """Peak memory, faults and copies at a full context."""
    bundle = random_bundle(shape)
    config = read_manifest(bundle).config
    kv = 4 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim * context
    drop(files_of(bundle))
    with ExitStack() as stack:
        group = stack.enter_context(Cgroup("memory", "function")) if Cgroup.available("memory") else None
        child = stack.enter_context(Child([sys.executable, "-m", "bench.curtain_child"]))
        if group is not None:
            group.set("memory.limit_in_bytes", LIMIT_MB << 20)
            child.ask("enter", group=group.procs)
        opened = child.ask("open", bundle=str(bundle), kernels="native", threads=threads, capacity=context)
        child.ask("read", path=str(bundle / WEIGHTS))  # as the read-ahead does
        child.ask("prefill", ids=list(range(READ)))
        child.ask("fill", tokens=context - DECODED)
        warm_up = child.ask("decode", ids=[1] * (DECODED // 2))
        before = child.ask("usage")
        steps = child.ask("decode", ids=[2] * (DECODED // 2))
        after = child.ask("usage")
        peak = int(group.get("memory.max_usage_in_bytes")) if group else after["VmHWM"]
        refused = int(group.get("memory.failcnt")) if group else 0
    faults = after["major_faults"] - before["major_faults"]
    weights = sum((bundle / name).stat().st_size for name in (WEIGHTS, EMBEDDING) if (bundle / name).exists())
    beside = after["RssAnon"] - kv
    print(
        f"peak {peak / 2**20:,.0f} MB of {LIMIT_MB:,}; anonymous beside the KV cache {beside / 2**20:,.0f} MB"
    )
    print(f"{faults} pages read again in {len(steps)} steps")
    finish(
        "memory",
        {
            "shape": shape,
            "kernels": opened["kernels"],
            "context": context,
            "limit_bytes": LIMIT_MB << 20,
            "peak_bytes": peak,
            "peak_of": "cgroup with page cache" if group else "process",
            "times_at_limit": refused,
            "weight_bytes": weights,
            "kv_cache_bytes": kv,
            "anonymous_bytes": after["RssAnon"],
            "anonymous_beside_kv_cache_bytes": beside,
            "mapped_bytes": after["RssFile"],
            "major_faults_while_decoding": faults,
            "decode_tokens_per_s": spread(1 / step for step in steps),
            "first_steps_s": [round(step, 3) for step in warm_up],
            "within": {
                "limit": peak <= LIMIT_MB << 20,
                "no_page_read_twice": faults == 0,
                "no_second_copy": beside < weights // 4,
            },
        },
    )


if __name__ == "__main__":
    typer.run(main)
