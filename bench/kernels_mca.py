"""What the kernels should do on CPUs that nobody has here: `python -m bench.kernels_mca [--threads 6]`.

Simulated: instructions, cycles and multiply-adds a cycle of every inner loop, by llvm-mca (which takes every
load for a cache hit). Counted: bytes of weights a token reads, and how evenly the threads share the rows.
Predicted, never measured: tokens a second of the catalog's models on a Lambda function, by whichever of
arithmetic and memory is slower. The last line of stdout is one JSON document.
"""

from collections.abc import Iterator
from typing import Annotated

import typer

from bench.common import finish
from bench.mca import Kernel, Loop, McaError, find_program, simulate
from lambda_image.engine.bundle.layout import GROUP, PANEL
from lambda_image.engine.bundle.plan import Planned, plan
from lambda_image.engine.convert.catalog import Entry, load_catalog
from lambda_image.engine.native.target import Architecture

CHUNK = 64  # tokens that go through a layer together: decoder.h
SHARES = 4  # items a thread in a matrix product: layer.cpp
CORES: list[tuple[Architecture, str, str]] = [
    ("aarch64", "sdot", "neoverse-n1"),
    ("aarch64", "smmla", "neoverse-v1"),
    ("x86_64", "avx2", "znver3"),
    ("x86_64", "avx512", "skylake-avx512"),
    ("x86_64", "vnni", "icelake-server"),
]
LAMBDA = ("sdot", "neoverse-n1")

Figures = dict[str, float]


def main(
    threads: Annotated[int, typer.Option(min=1, help="vCPUs; the largest Lambda function has 6.")] = 6,
    gigahertz: Annotated[float, typer.Option(min=0.1, help="Clock; Graviton2 runs at 2.5 GHz.")] = 2.5,
    bandwidth: Annotated[
        float,
        typer.Option(
            min=0.1, help="GB/s; 19.2 is 6 cores' share of a Graviton2 socket (204.8 GB/s, 64 cores)."
        ),
    ] = 19.2,
) -> None:
    """Inner loops, bytes and balance, and what follows for a Lambda function."""
    try:
        program = find_program()
        kernels = {
            (name, core): simulate(architecture, name, core, program) for architecture, name, core in CORES
        }
    except McaError as error:
        raise typer.BadParameter(str(error)) from None
    loops = [_loop(name, core, step, loop) for (name, core), step, loop in _steps(kernels)]
    models = {
        name: _model(entry, kernels[LAMBDA], threads, gigahertz, bandwidth)
        for name, entry in load_catalog().models.items()
    }
    finish(
        "kernels_mca",
        {
            "simulator": program,
            "loops": loops,
            "threads": threads,
            "chunk": CHUNK,
            "predicted": {
                "assumed": {"cpu": LAMBDA[1], "gigahertz": gigahertz, "bandwidth_gb_s": bandwidth},
                "note": "matrix products only: no attention, no other step, no other tenant",
                "models": models,
            },
        },
    )


def _steps(kernels: dict[tuple[str, str], Kernel]) -> Iterator[tuple[tuple[str, str], str, Loop]]:
    for key, kernel in kernels.items():
        yield key, "decode", kernel.decode
        yield key, "prompt", kernel.prompt
        if kernel.unpack:
            yield key, "unpack", kernel.unpack


def _loop(name: str, core: str, step: str, loop: Loop) -> dict[str, object]:
    work = f"{loop.products:5} multiply-adds, {loop.rate:5.1f} a cycle" if loop.products else "once a chunk"
    print(f"{name:7} {core:15} {step:7} {loop.instructions:4} instructions {loop.cycles:6.1f} cycles  {work}")
    return {
        "kernel": name,
        "core": core,
        "loop": step,
        "instructions": loop.instructions,
        "cycles": round(loop.cycles, 2),
        "multiply_adds": loop.products,
        "multiply_adds_per_cycle": round(loop.rate, 2),
    }


def _model(entry: Entry, kernel: Kernel, threads: int, gigahertz: float, bandwidth: float) -> Figures:
    """The prompt's tokens don't go through the head, but for the last one."""
    matrices = [tensor for tensor in plan(entry.config.model) if tensor.kind == "int4"]
    matrices = [tensor for tensor in matrices if tensor.name != "embedding"]
    layers = [tensor for tensor in matrices if tensor.name != "head"]

    def busy(tensors: list[Planned], rate: float) -> float:  # seconds a token of arithmetic, all threads
        cycles = sum(
            tensor.shape[0] * tensor.shape[1] / rate / balance(tensor, threads) for tensor in tensors
        )
        return cycles / (threads * gigahertz * 1e9)

    read = sum(tensor.nbytes for tensor in matrices)
    shared = sum(tensor.nbytes for tensor in layers) / CHUNK
    decode = max(busy(matrices, kernel.decode.rate), read / (bandwidth * 1e9))
    prompt = max(busy(layers, kernel.prompt_rate(CHUNK)), shared / (bandwidth * 1e9))
    worst = min(balance(tensor, threads) for tensor in matrices)
    print(
        f"{entry.name:16} {read / 1e6:8.1f} MB a decoded token {shared / 1e6:7.2f} MB a prompt token  "
        f"balance {worst:.3f}  predicted: decode {1 / decode:6.1f}, prompt {1 / prompt:7.1f} tokens/s"
    )
    return {
        "bytes_per_decoded_token": read,
        "bytes_per_prompt_token": round(shared),
        "worst_balance": round(worst, 4),
        "predicted_decode_tokens_s": round(1 / decode, 2),
        "predicted_prompt_tokens_s": round(1 / prompt, 1),
    }


def balance(tensor: Planned, threads: int) -> float:
    """Share of the threads' time that is work: layer.cpp deals equal pieces to whoever is free."""
    rows = tensor.shape[0]
    if tensor.name.endswith("gate_up"):  # in groups of what it makes, gate and up together
        units, weight = rows // 2 // GROUP, 2 * GROUP // PANEL
    else:
        units, weight = -(-rows // PANEL), 1
    items = 1 if threads == 1 else min(units, threads * SHARES)
    ends = [0] * threads
    for item in range(items):
        size = ((item + 1) * units // items - item * units // items) * weight
        ends[ends.index(min(ends))] += size
    return units * weight / (threads * max(ends))


if __name__ == "__main__":
    typer.run(main)
