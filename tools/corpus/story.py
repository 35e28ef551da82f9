"""Whole conversations: system message, opening scene, then the user's actions and the narrator's replies."""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from tools.corpus.data_files import grammar
from tools.corpus.facts import system_message, traveller
from tools.corpus.narrator import opening
from tools.corpus.player import answer, possible, turn
from tools.corpus.scene import Scene


@dataclass(frozen=True)
class Message:
    role: str
    content: str


def conversation(seed: int, *, held: bool = False) -> list[Message]:
    """The conversation of this seed; the same seed gives the same text on every machine."""
    rng = Random(seed * 2 + held)
    g = grammar()
    facts = traveller(g, rng, held)
    scene = Scene(g, facts, rng, held=held)
    told = [Message("system", system_message(g, facts.answers)), Message("user", g.facts.begin)]
    told.append(Message("assistant", opening(scene)))
    names, weights = list(g.weights), list(g.weights.values())
    last = ""
    for _ in range(rng.choice((0, 1, 2, 2, 3, 3, 4, 4, 5, 6, 7, 8))):
        taken_up = answer(scene) if rng.random() < 0.3 else None
        if taken_up:
            told += [Message("user", taken_up[0]), Message("assistant", taken_up[1])]
            continue
        name = rng.choices(names, weights)[0]
        while (name == last and rng.random() < 0.8) or not possible(scene, name):
            name = rng.choices(names, weights)[0]
        last = name
        said, reply = turn(scene, name)
        told += [Message("user", said), Message("assistant", reply)]
    return told


def conversations(seed: int, *, held: bool = False) -> Iterator[list[Message]]:
    """An endless stream; streams of different seeds share no conversation."""
    number = seed << 32
    while True:
        yield conversation(number, held=held)
        number += 1
