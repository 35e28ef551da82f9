"""Bugs to plant, one at a time: each is a mistake that this design is there to exclude.

A mutation patches the real modules (of the store: the stand-in that keeps its promises) while it is entered.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Mutation:
    """`theme`: of the schedules in which it is hunted, where most of all it would show; None: of any."""

    plant: Callable[[], AbstractContextManager[None]]
    theme: str | None


MUTATIONS: dict[str, Mutation] = {}
_Plant = Callable[[], Iterator[None]]


def mutation(theme: str | None = None) -> Callable[[_Plant], _Plant]:
    def register(plant: _Plant) -> _Plant:
        MUTATIONS[plant.__name__] = Mutation(contextmanager(plant), theme)
        return plant

    return register
