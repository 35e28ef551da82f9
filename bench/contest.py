"""Engines that take turns: each in a process of its own, never two at work at the same time."""

import random
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bench.lines import Child
from bench.llama import gguf_of, start_llama

BLOCK = 8  # tokens decoded before it is the other's turn: what slows the machine for a second slows both

Rates = dict[int, list[float]]  # of each run, by context


@dataclass
class Contender:
    """One engine with one model opened, and what was measured of it."""

    name: str
    child: Child
    prefill: Rates = field(default_factory=dict)  # tokens/s
    decode: Rates = field(default_factory=dict)
    matmul: Rates = field(default_factory=dict)  # seconds of a run's step in matrix products, on average
    rest: Rates = field(default_factory=dict)  # and in everything else

    def note_profile(self, context: int, steps: int) -> None:
        """What the decoder spent on each of the `steps` since the last call."""
        spent = self.child.ask("profile")
        matmul = spent.pop("matmul")
        self.matmul.setdefault(context, []).append(matmul / steps)
        self.rest.setdefault(context, []).append(sum(spent.values()) / steps)


def start_curtain(stack: ExitStack, bundle: Path, kernels: str, threads: int, capacity: int) -> Contender:
    """Our decoder on the kernels that CURTAIN_KERNELS would name so; "reference" takes a checkpoint."""
    child = stack.enter_context(Child([sys.executable, "-m", "bench.curtain_child"]))
    found = child.ask("open", bundle=str(bundle), kernels=kernels, threads=threads, capacity=capacity)
    return Contender(found["kernels"], child)


def start_rival(stack: ExitStack, bundle: Path, python: Path, threads: int, capacity: int) -> Contender:
    """llama.cpp on the same weights."""
    child = stack.enter_context(start_llama(python))
    child.ask("open", model=str(gguf_of(bundle, python)), threads=threads, capacity=capacity)
    return Contender("llama.cpp", child)


def play(contenders: Sequence[Contender], context: int, decoded: int, vocabulary: int, seed: int) -> None:
    """One run: each reads the same prompt of `context` tokens, then they decode in turns."""
    ids = random.Random(seed).choices(range(vocabulary), k=context + decoded)
    for contender in contenders:
        seconds = contender.child.ask("prefill", ids=ids[:context])
        contender.prefill.setdefault(context, []).append(context / seconds)
        if contender.name.startswith("native"):
            contender.child.ask("profile")  # from here on it is decoding's
    taken: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    for start in range(context, context + decoded, BLOCK):
        for contender in contenders:
            taken[contender.name] += contender.child.ask("decode", ids=ids[start : start + BLOCK])
    for contender in contenders:
        seconds = taken[contender.name]
        contender.decode.setdefault(context, []).append(len(seconds) / sum(seconds))
        if contender.name.startswith("native"):
            contender.note_profile(context, len(seconds))


def agreement(ours: Contender, theirs: Contender) -> dict[str, float | bool]:
    """How near the logits of the last token are: proof that both compute the same model."""
    a, b = (np.array(contender.child.ask("logits")) for contender in (ours, theirs))
    return {
        "relative_error": round(float(np.linalg.norm(a - b) / np.linalg.norm(b)), 4),
        "same_best": bool(a.argmax() == b.argmax()),
    }
