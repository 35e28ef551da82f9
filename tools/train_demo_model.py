"""Train the demo model from scratch: `python -m tools.train_demo_model --out models/demo`.

Run again with the same arguments, it goes on from its last checkpoint; a finished run does nothing."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import torch
import typer

from tools.demo_model.model import Shape
from tools.demo_model.training import PLAN, Stage, train

FULL = Shape(vocab=4096)
SMOKE = Shape(vocab=512, hidden=64, layers=2, heads=2, kv_heads=1, intermediate=128)


def main(
    out: Annotated[
        Path, typer.Option(help="Folder of the checkpoint; the run's state is kept in its .train")
    ],
    seed: Annotated[int, typer.Option(help="Of the weights, the tokenizer and the corpus")] = 1,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Steps of the last stage, if not the plan's")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads")] = 2,
    every: Annotated[int, typer.Option(min=1, help="Steps between checkpoints")] = 150,
    smoke: Annotated[bool, typer.Option(help="A tiny model, to prove the whole path in seconds")] = False,
) -> None:
    torch.set_num_threads(threads)
    learn_from, measured = (60, 4) if smoke else (4000, 96)
    plan = (Stage(10, 1024, (1.0, 1.0)), Stage(10, 1024, (1.0, 0.1), "pieces")) if smoke else PLAN
    if steps is not None:
        plan = (*plan[:-1], replace(plan[-1], steps=steps))
    train(
        SMOKE if smoke else FULL,
        out,
        seed=seed,
        plan=plan,
        learn_from=learn_from,
        measured=measured,
        every=every,
        note=lambda line: print(line, flush=True),
    )


if __name__ == "__main__":
    typer.run(main)
