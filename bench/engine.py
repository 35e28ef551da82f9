"""How fast the engine is here, beside llama.cpp and beside what the memory allows:
`python -m bench.engine --shape llama3.2-1b --vs llama.cpp`.

Prefill reads the prompt (bound by arithmetic), decode one token after another (bound by reading every weight
once per token). The engines take turns on the same random weights, token for token; ratios are medians of
pairs. The roof is the best that prefetched reads of the same mapped bytes reach. The last line of stdout is
one JSON document: `python -m bench.engine | tail -1 | jq .paths.native`.
"""

import itertools
import statistics
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from bench.common import finish, paired, show, spread
from bench.contest import Contender, agreement, play, start_curtain, start_rival
from bench.llama import PYTHON, LlamaPython
from bench.random_bundle import random_bundle
from bench.roof import Roof
from lambda_image.engine.bundle.manifest import WEIGHTS, Manifest, read_manifest
from lambda_image.engine.convert.write import write_bundle
from lambda_image.engine.errors import EngineError
from lambda_image.engine.native.library import instruction_sets

SIDE_RUNS = 2  # of kernels that are not the ones to serve with, at the first context
SAMPLING = {"temperature": 0.6, "top_p": 0.9}  # Llama 3's own
DRAWS = 50
WARM_UP = 64  # tokens


def main(
    shape: Annotated[str, typer.Option(help="A catalog name: random weights of its shape.")] = "",
    checkpoint: Annotated[Path, typer.Option(help="Or a checkpoint in Hugging Face's layout.")] = Path(
        "models/demo"
    ),
    vs: Annotated[str, typer.Option(help="`llama.cpp`, or nothing.")] = "",
    runs: Annotated[int, typer.Option(min=5, help="Interleaved runs.")] = 5,
    threads: Annotated[int, typer.Option(min=1, help="Of each engine.")] = 2,
    contexts: Annotated[str, typer.Option(help="Prompt lengths in tokens.")] = "128,1000",
    decoded: Annotated[int, typer.Option(min=8, help="Tokens decoded after each prompt.")] = 32,
    llama_python: LlamaPython = PYTHON,
) -> None:
    """Prefill and decode speed of every kernel path."""
    if vs not in ("", "llama.cpp"):
        raise typer.BadParameter(
            f"{vs!r} is unknown; llama.cpp is the one to compare with", param_hint="--vs"
        )
    lengths = [int(length) for length in contexts.split(",")]
    capacity = max(*lengths, WARM_UP) + decoded
    with ExitStack() as stack:
        try:
            if shape:
                bundle = random_bundle(shape)
            else:
                bundle = Path(stack.enter_context(tempfile.TemporaryDirectory())) / checkpoint.name
                write_bundle(checkpoint, bundle)
        except EngineError as error:
            raise typer.BadParameter(str(error)) from None
        manifest = read_manifest(bundle)
        names = [*(f"native/{isa}" for isa in instruction_sets()), "aten"]
        ours = start_curtain(stack, bundle, names[0], threads, capacity)
        main_pair, rival = [ours], None
        if vs:
            rival = start_rival(stack, bundle, llama_python, threads, capacity)
            main_pair.append(rival)
            print(rival.child.ask("version"))
        roof = Roof(bundle / WEIGHTS, threads)
        for contender in main_pair:
            _warm_up(contender)
        for run, length in itertools.product(range(runs), lengths):
            roof.measure(passes=1)
            play(main_pair if run % 2 else main_pair[::-1], length, decoded, manifest.config.vocab_size, run)
            print(f"run {run + 1} of {runs}, {length} tokens of context", flush=True)
        others = [start_curtain(stack, bundle, name, threads, capacity) for name in names[1:]]
        if not shape:
            others.append(start_curtain(stack, checkpoint, "reference", threads, capacity))
        for contender in others:  # many times slower, and nobody's idle threads beside the pairs above
            _warm_up(contender)
            for run in range(SIDE_RUNS):
                play([contender], lengths[0], decoded, manifest.config.vocab_size, run)
        document = _document(manifest, roof, ours, others, rival)
        if rival is not None:
            play(main_pair, min(lengths), 8, manifest.config.vocab_size, runs)
            document["agreement_with_llama_cpp"] = agreement(ours, rival)
            document["llama_cpp"] = rival.child.ask("version")
        document["sampler"] = _sampler(ours)
    finish("engine", document | {"threads": threads, "runs": runs, "decoded_tokens": decoded})


def _warm_up(contender: Contender) -> None:
    contender.child.ask("prefill", ids=list(range(WARM_UP)))
    contender.child.ask("decode", ids=[1, 2])


def _document(
    manifest: Manifest, roof: Roof, ours: Contender, others: list[Contender], rival: Contender | None
) -> dict[str, Any]:
    weights = manifest.files[WEIGHTS].size
    floor_s = weights / roof.best  # of one decode step
    paths: dict[str, Any] = {"native": _rates(ours)}
    for contender in others:
        paths["aten" if contender.name.startswith("aten") else contender.name] = _rates(contender)
    fractions = {
        str(context): {
            "matmul": round(floor_s / statistics.median(ours.matmul[context]), 3),
            "step": round(floor_s * statistics.median(rates), 3),
        }
        for context, rates in ours.decode.items()
    }
    shares = {
        str(context): spread(
            rest / (rest + matmul) for rest, matmul in zip(found, ours.matmul[context], strict=True)
        )
        for context, found in ours.rest.items()
    }
    document: dict[str, Any] = {
        "model": manifest.name,
        "weight_bytes": weights,
        "unit": "tokens/s",
        "paths": paths,
        "roof": {
            "gb_per_s": round(roof.best / 1e9, 2),
            "tokens_per_s": round(1 / floor_s, 2),
            "gb_per_s_by_prefetch_distance": roof.by_prefetch,
        },
        # of the context that does worst
        "roof_fraction": {
            kind: min(found[kind] for found in fractions.values()) for kind in ("matmul", "step")
        }
        | {"by_context": fractions},
        "non_matmul_share": shares,
    }
    if rival is not None:
        paths["llama_cpp"] = _rates(rival)
        document["ratios"] = _ratios(ours, rival)
    return document


def _rates(contender: Contender) -> dict[str, Any]:
    found: dict[str, Any] = {"kernels": contender.name}
    for context, rates in contender.decode.items():
        found[str(context)] = {"prefill": spread(contender.prefill[context]), "decode": spread(rates)}
        for kind, figures in found[str(context)].items():
            show(f"{contender.name} {kind} at {context}", figures, "tokens/s")
    return found


def _ratios(ours: Contender, rival: Contender) -> dict[str, Any]:
    by_context: dict[str, Any] = {}
    everything: dict[str, list[float]] = {"decode": [], "prefill": []}
    for context in ours.decode:
        pairs = {
            "decode": paired(ours.decode[context], rival.decode[context]),
            "prefill": paired(ours.prefill[context], rival.prefill[context]),
        }
        by_context[str(context)] = {f"{kind}_vs_llama_cpp": spread(found) for kind, found in pairs.items()}
        for kind, found in pairs.items():
            everything[kind] += found
            show(f"{kind} against llama.cpp at {context}", spread(found), "times")
    medians = {
        f"{kind}_vs_llama_cpp": round(statistics.median(found), 3) for kind, found in everything.items()
    }
    return medians | {"by_context": by_context}


def _sampler(ours: Contender) -> dict[str, Any]:
    seconds = ours.child.ask("sample", settings=SAMPLING, times=DRAWS)
    step = 1 / statistics.median(ours.decode[min(ours.decode)])
    return {
        "settings": SAMPLING,
        "milliseconds": round(1e3 * seconds, 3),
        "share_of_step": round(seconds / step, 4),
    }


if __name__ == "__main__":
    typer.run(main)
