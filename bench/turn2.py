"""The second turn: `python -m bench.turn2 --shape llama3.2-1b`.

Time to the first token after 100, 1,000 and 3,000 tokens of history: in the environment that told the story
so far (its KV cache holds the history, only what was said is computed), and in a fresh one (it must read the
history, as much of it as its budget allows). And what it costs to linger, so that the next turn finds the
first kind. The last line is one JSON document.
"""

import itertools
from pathlib import Path
from typing import Annotated, Any

import typer

from bench.common import finish, show, spread
from bench.random_bundle import random_bundle
from bench.story import Messages, history
from lambda_image.engine.bundle.manifest import WEIGHTS
from lambda_image.engine.convert.catalog import load_catalog
from lambda_image.engine.engine import Engine
from lambda_image.engine.generation.reply import ReplyMetrics
from lambda_image.engine.text.tokens import ChatTokenizer
from session.prices import prices

SYSTEM = {"role": "system", "content": "You tell a story."}
REPLY = 16  # tokens generated in each turn
STEP = 10  # messages of history that an environment reads at a time: under any budget


def main(
    shape: Annotated[str, typer.Option(help="A catalog name: random weights of its shape.")] = "llama3.2-1b",
    runs: Annotated[int, typer.Option(min=5, help="Turns in one environment, and fresh environments.")] = 5,
    histories: Annotated[str, typer.Option(help="Tokens of history.")] = "100,1000,3000",
    threads: Annotated[int, typer.Option(help="0: as the engine decides.")] = 0,
) -> None:
    """Time to the first token of a turn that has a history."""
    bundle = random_bundle(shape)
    entry = load_catalog().find(shape)
    tokenizer = ChatTokenizer.load(bundle)
    found: dict[str, Any] = {}
    for tokens in map(int, histories.split(",")):
        told = [SYSTEM, *history(tokenizer, tokens)]
        (bundle / WEIGHTS).read_bytes()  # in memory, whoever ran before
        fresh = [_fresh(bundle, told, threads or None) for _ in range(runs)]
        same = _same(bundle, told, threads or None, runs)
        found[str(tokens)] = {
            "same_environment": _figures(f"same environment, {tokens} tokens", same),
            "fresh_environment": _figures(f"fresh environment, {tokens} tokens", fresh),
        }
    price = {
        f"{memory_mb}_mb": round(prices().compute(seconds=60, memory_mb=memory_mb), 6)
        for memory_mb in (entry.memory_mb, 10_240)
    }
    print(f"lingering costs USD a minute: {price}")
    finish("turn2", {"shape": shape, "runs": runs, "histories": found, "linger_usd_per_minute": price})


def _fresh(bundle: Path, told: Messages, threads: int | None) -> dict[str, float]:
    """An environment that knows nothing: load (from memory) and first token."""
    engine = Engine.load(bundle, threads=threads)
    metrics, _ = _turn(engine, [*told, _said(0)], seed=0)
    return {"load_s": engine.load_s, "total_s": engine.load_s + (metrics.ttft_s or 0.0)} | _counts(metrics)


def _same(bundle: Path, told: Messages, threads: int | None, runs: int) -> list[dict[str, float]]:
    """The environment that told the story, turn after turn."""
    engine = Engine.load(bundle, threads=threads)
    for stop in itertools.count(STEP + 1, STEP):  # reads the history in parts that fit its budget
        messages = told[:stop] if stop < len(told) else list(told)
        _turn(engine, [*messages, _said(0)], seed=0)
        if len(messages) == len(told):
            break
    found = []
    for number in range(1, runs + 1):
        metrics, text = _turn(engine, [*messages, _said(number)], seed=number)
        messages += [_said(number), {"role": "assistant", "content": text}]
        found.append({"total_s": metrics.ttft_s or 0.0} | _counts(metrics))
    return found


def _said(number: int) -> dict[str, str]:
    return {"role": "user", "content": f"I open door {number} and look behind it. What do I see there?"}


def _turn(engine: Engine, messages: Messages, seed: int) -> tuple[ReplyMetrics, str]:
    pieces = list(engine.reply(messages, seed=seed, max_tokens=REPLY))
    end = pieces[-1].end
    assert end is not None
    return end.metrics, "".join(piece.text for piece in pieces)


def _counts(metrics: ReplyMetrics) -> dict[str, float]:
    return {
        "ttft_s": metrics.ttft_s or 0.0,
        "prompt_tokens": metrics.prompt_tokens,
        "computed_tokens": metrics.prefill_tokens,
        "kv_reused_tokens": metrics.kv_reused_tokens,
        "left_out_turns": metrics.dropped_turns + metrics.budget_dropped_turns,
    }


def _figures(name: str, runs: list[dict[str, float]]) -> dict[str, Any]:
    figures = {key: spread(run[key] for run in runs) for key in runs[0]}
    show(name, figures["ttft_s"], "s to the first token")
    return figures


if __name__ == "__main__":
    typer.run(main)
