"""Whether guessing tokens from the story so far pays: `python -m bench.speculation`.

The demo model tells stories, each with and without prompt lookup, taking turns; the texts must be equal,
because the guessing is lossless. A conversation of several turns is told, since a story repeats its names and
phrases.

The demo model's weights fit a CPU's cache, so a pass over several tokens costs it as much as several passes.
A large model reads its weights once for all of them: what the same guesses would gain there is predicted from
what a guessed token adds to a pass of the `--cost-shape`. The last line is one JSON document.
"""

import statistics
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from bench.common import finish, paired, show, spread
from bench.random_bundle import random_bundle
from lambda_image.engine.bundle.load import open_bundle
from lambda_image.engine.convert.write import write_bundle
from lambda_image.engine.engine import Engine
from lambda_image.engine.errors import EngineError
from lambda_image.engine.generation.cache import KVCache
from lambda_image.engine.generation.reply import ReplyMetrics
from lambda_image.engine.kernels import open_decoder

SAID = (
    "Tell me a story about a little girl who finds a lantern.",
    "What does she do with the lantern?",
    "Who does she meet on the way home?",
)
TEMPERATURES = (0.0, 0.6)  # greedy, and as stories are told
PASSES = 9  # of each size, to find what a guessed token adds


def main(
    checkpoint: Annotated[Path, typer.Option(help="A checkpoint in Hugging Face's layout.")] = Path(
        "models/demo"
    ),
    runs: Annotated[int, typer.Option(min=5, help="Conversations, each with and without.")] = 5,
    guesses: Annotated[str, typer.Option(help="Tokens guessed at a time, at most.")] = "2,4,8",
    tokens: Annotated[int, typer.Option(help="Of each reply, at most.")] = 160,
    cost_shape: Annotated[str, typer.Option(help="A large model's catalog name.")] = "llama3.2-1b",
    threads: Annotated[int, typer.Option(help="0: as the engine decides.")] = 0,
) -> None:
    """Decode speed with prompt lookup against decode speed without."""
    with tempfile.TemporaryDirectory() as scratch:
        bundle = Path(scratch) / "bundle"
        try:
            write_bundle(checkpoint, bundle)
            engine = Engine.load(bundle, threads=threads or None)
        except EngineError as error:
            raise typer.BadParameter(str(error)) from None
        sizes = list(map(int, guesses.split(",")))
        costs = _costs(random_bundle(cost_shape), sizes, threads or None)
        _tell(engine, seed=0, temperature=0.0, speculate=0, tokens=tokens)  # warm-up
        found: dict[str, Any] = {}
        for temperature in TEMPERATURES:
            for speculate in sizes:
                pairs = [_pair(engine, seed, temperature, speculate, tokens) for seed in range(runs)]
                with_, without = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
                name = f"temperature {temperature}, {speculate} guesses"
                ratios = paired([_rate(told) for told in with_], [_rate(told) for told in without])
                show(name, spread(ratios), "times")
                guessed = sum(m.speculated_tokens for told in with_ for m in told)
                accepted = sum(m.accepted_tokens for told in with_ for m in told)
                found[name] = {
                    "decode_ratio": spread(ratios),
                    "tokens_per_s": spread(_rate(told) for told in with_),
                    "tokens_per_s_without": spread(_rate(told) for told in without),
                    "predicted_ratio": _predict([m for told in with_ for m in told], costs[speculate]),
                    "guessed_tokens": guessed,
                    "accepted_share": round(accepted / guessed, 3) if guessed else None,
                }
    document = {"model": engine.name, "runs": runs, "settings": found, "lossless": True}
    document["prediction"] = {"shape": cost_shape, "cost_of_a_guess_in_passes": costs}
    finish("speculation", document)


def _pair(
    engine: Engine, seed: int, temperature: float, speculate: int, tokens: int
) -> tuple[list[ReplyMetrics], list[ReplyMetrics]]:
    """The same conversation with and without guessing. SystemExit if the texts differ."""
    order = (speculate, 0) if seed % 2 else (0, speculate)
    told = {count: _tell(engine, seed, temperature, count, tokens) for count in order}
    if told[speculate][0] != told[0][0]:
        raise SystemExit(f"prompt lookup changed the text (seed {seed}, temperature {temperature})")
    return told[speculate][1], told[0][1]


def _tell(
    engine: Engine, seed: int, temperature: float, speculate: int, tokens: int
) -> tuple[list[str], list[ReplyMetrics]]:
    """The replies of one conversation, and what each took."""
    messages: list[dict[str, str]] = []
    metrics = []
    for said in SAID:
        messages.append({"role": "user", "content": said})
        pieces = list(
            engine.reply(messages, seed=seed, max_tokens=tokens, temperature=temperature, speculate=speculate)
        )
        messages.append({"role": "assistant", "content": "".join(piece.text for piece in pieces)})
        end = pieces[-1].end
        assert end is not None
        metrics.append(end.metrics)
    return [message["content"] for message in messages[1::2]], metrics


def _costs(bundle: Path, sizes: list[int], threads: int | None) -> dict[int, float]:
    """What a guessed token adds to a pass, as a share of a pass over one token, by the number of guesses."""
    opened = open_bundle(bundle)
    decoder, cache = open_decoder(opened, threads=threads), KVCache(opened.manifest.config, 128)
    seconds: dict[int, list[float]] = {size: [] for size in (0, *sizes)}
    for _ in range(PASSES):
        for size, taken in seconds.items():
            cache.ids[:] = [0] * 64
            began = time.perf_counter()
            decoder.forward([1] * (1 + size), cache, every_position=True)
            taken.append(time.perf_counter() - began)
    medians = {size: statistics.median(taken[1:]) for size, taken in seconds.items()}
    return {size: round((medians[size] / medians[0] - 1) / size, 4) for size in sizes}


def _predict(told: list[ReplyMetrics], cost: float) -> float:
    """Decode speed with these guesses against without, where a guess adds `cost` of a pass."""
    tokens = sum(m.completion_tokens - 1 for m in told)
    passes = tokens - sum(m.accepted_tokens for m in told)
    return round(tokens / (passes + cost * sum(m.speculated_tokens for m in told)), 3)


def _rate(told: list[ReplyMetrics]) -> float:
    """Tokens per second of decoding, first tokens left out."""
    return sum(m.completion_tokens - 1 for m in told) / sum(m.decode_s for m in told)


if __name__ == "__main__":
    typer.run(main)
