"""The training loop: Muon for the matrices, AdamW for embedding and norms, loss on the narrator's tokens."""

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor

from tools.corpus.story import conversations
from tools.demo_model.batches import Batch, Cuts, batches, fixed
from tools.demo_model.export import export
from tools.demo_model.model import Llama, Shape
from tools.demo_model.muon import Muon
from tools.demo_model.tokenizer import learn

PEAK, ADAM_PEAK = 4e-3, 3e-3
MEASURED = 96  # conversations on each side of the split
MEASURE_SEED = 7_000_000


def narrator_loss(model: Llama, batch: Batch) -> tuple[Tensor, int]:
    """Sum of the cross-entropy (nats) over the narrator's tokens, and how many there are."""
    ids, spoken = batch
    hidden = model(ids[:, :-1])[spoken[:, 1:]]
    target = ids[:, 1:][spoken[:, 1:]]
    return F.cross_entropy(model.logits(hidden), target, reduction="sum"), target.numel()


@torch.no_grad()
def measure(model: Llama, data: Iterable[Batch]) -> float:
    """Mean loss per narrator token, in nats."""
    pairs = [narrator_loss(model, b) for b in data]
    return sum(x.item() for x, _ in pairs) / sum(n for _, n in pairs)


@dataclass(frozen=True)
class Stage:
    """A stretch of the run; rate: share of the peak learning rates, linear from its start to its end."""

    steps: int
    tokens: int
    rate: tuple[float, float]
    cuts: Cuts = "whole"
    warmup: int = 60


# Single exchanges teach the narrator to heed the action before it; whole conversations teach that slowly.
PLAN = (
    Stage(320, 4096, (1.0, 1.0)),
    Stage(330, 2048, (0.3, 0.3), "pieces"),
    Stage(350, 2048, (0.5, 0.43), "exchanges"),
    Stage(250, 2048, (0.5, 0.5), "drills"),
    Stage(30, 4096, (0.4, 0.3634375)),
    Stage(180, 4096, (0.4, 0.01), warmup=15),
    Stage(120, 4096, (0.4, 0.3), "pieces", warmup=15),
    Stage(140, 4096, (0.3, 0.01), warmup=1),
)


def schedule(plan: Sequence[Stage], step: int) -> tuple[int, int, float]:
    """The stage of this step, the step within it, and the share of the peak learning rates."""
    for number, stage in enumerate(plan):
        if step < stage.steps:
            first, last = stage.rate
            share = first + (last - first) * step / stage.steps
            return number, step, share * min((step + 1) / stage.warmup, 1.0)
        step -= stage.steps
    raise IndexError(f"the plan ends {step} steps before")


def optimizers(model: Llama) -> list[torch.optim.Optimizer]:
    matrices = [p for n, p in model.named_parameters() if p.dim() == 2 and "embed" not in n]
    others = [p for n, p in model.named_parameters() if p.dim() != 2 or "embed" in n]
    return [
        Muon(matrices, lr=PEAK, weight_decay=0.05),
        torch.optim.AdamW(others, lr=ADAM_PEAK, betas=(0.9, 0.98), weight_decay=0.0, fused=True),
    ]


def train(
    shape: Shape,
    out: Path,
    *,
    seed: int,
    plan: Sequence[Stage],
    learn_from: int,
    measured: int = MEASURED,
    every: int,
    note: Callable[[str], None],
) -> dict[str, Any]:
    """Train from scratch, or go on from `out`/.train/state.pt; export every `every` steps. Returns the report
    that is also written to `out`/training.json."""
    torch.manual_seed(seed)
    work = out / ".train"
    work.mkdir(parents=True, exist_ok=True)
    tokenizer = _tokenizer(work / "tokenizer.json", seed, learn_from, shape.vocab)
    model = Llama(shape)
    opts = optimizers(model)
    peaks = [o.param_groups[0]["lr"] for o in opts]
    step, seen, spent = 0, 0, 0.0
    state_file = work / "state.pt"
    if state_file.exists():
        state = torch.load(state_file, weights_only=True)
        model.load_state_dict(state["model"])
        for o, s in zip(opts, state["opts"], strict=True):
            o.load_state_dict(s)
        step, seen, spent = state["step"], state["seen"], state["spent"]
        note(f"going on from step {step}")
    sides = {
        side: fixed(tokenizer, MEASURE_SEED, measured, plan[0].tokens, held=side == "held")
        for side in ("train", "held")
    }
    report: dict[str, Any] = {}
    started, mean = time.monotonic() - spent, 0.0
    first, steps = step, sum(stage.steps for stage in plan)
    for batch in _stream(tokenizer, seed, plan, step):
        for o, peak in zip(opts, peaks, strict=True):
            o.param_groups[0]["lr"] = peak * schedule(plan, step)[2]
        total, count = narrator_loss(model, batch)
        loss = total / count
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for o in opts:
            o.step()
            o.zero_grad()
        step, seen = step + 1, seen + batch[0].numel()
        mean = loss.item() if step == first + 1 else 0.95 * mean + 0.05 * loss.item()
        spent = time.monotonic() - started
        if step % 20 == 0:
            note(f"step {step}/{steps} loss {mean:.3f} {seen / spent:.0f} tokens/s {spent / 60:.1f} min")
        if step % every == 0 or step == steps:
            report = {
                "seed": seed,
                "steps": step,
                "of_steps": steps,
                "tokens": seen,
                "minutes": round(spent / 60, 1),
                "tokens_per_second": round(seen / spent),
                "parameters": sum(p.numel() for p in model.parameters()),
                "train_loss": round(measure(model, sides["train"]), 4),
                "held_out_loss": round(measure(model, sides["held"]), 4),
            }
            export(model, tokenizer, out)
            (out / "training.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
            saved = {"model": model.state_dict(), "opts": [o.state_dict() for o in opts]}
            torch.save(saved | {"step": step, "seen": seen, "spent": spent}, work / "state.tmp")
            os.replace(work / "state.tmp", state_file)
            note(json.dumps(report))
    return report


def _stream(tokenizer: Tokenizer, seed: int, plan: Sequence[Stage], step: int) -> Iterator[Batch]:
    """The batches from this step to the end of the plan; each stage draws its own conversations."""
    while step < sum(stage.steps for stage in plan):
        number, inside, _ = schedule(plan, step)
        stage = plan[number]
        drawn = batches(tokenizer, seed + 1000 * number, stage.tokens, cuts=stage.cuts)
        yield from islice(drawn, inside, stage.steps)
        step += stage.steps - inside


def _tokenizer(file: Path, seed: int, learn_from: int, vocab: int) -> Tokenizer:
    if not file.exists():
        learn(islice(conversations(seed), learn_from), vocab).save(str(file))
    return Tokenizer.from_file(str(file))
