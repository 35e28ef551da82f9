"""Many schedules on many cores, as they are and with a bug planted."""

import gc
import logging
import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from tests.sim import planted_hosts, planted_rules, planted_store  # noqa: F401 - they register themselves
from tests.sim.mutations import MUTATIONS
from tests.sim.simulation import Result, play

BATCH = 50
BOUND = 1000  # a planted bug must be found within so many schedules


@dataclass(frozen=True)
class Batch:
    schedules: int
    faults: int
    wrong: Sequence[Result]


@dataclass(frozen=True)
class Hunt:
    """The first schedule in which a planted bug was seen; None: not within the bound."""

    name: str
    found: Result | None
    schedules: int


def _begin() -> None:
    logging.disable(logging.CRITICAL)  # what is injected is logged, too
    gc.freeze()
    gc.disable()  # between two batches is early enough, and a tenth faster


def _batch(seeds: range) -> Batch:
    results = [play(seed) for seed in seeds]
    faults = sum(result.faults for result in results)
    gc.collect()
    return Batch(len(results), faults, [result for result in results if result.violations])


def _hunt(name: str, first_seed: int) -> Hunt:
    mutation = MUTATIONS[name]
    with mutation.plant():
        for number, seed in enumerate(range(first_seed, first_seed + BOUND), 1):
            result = play(seed, mutation.theme)
            if result.violations:
                return Hunt(name, result, number)
            if number % BATCH == 0:
                gc.collect()
    return Hunt(name, None, BOUND)


class Workers:
    """Processes that play. Use as a context manager."""

    def __init__(self, count: int) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(count, mp_context=spawn, initializer=_begin)

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def simulate(self, schedules: int, first_seed: int) -> Iterator[Batch]:
        """Batches of consecutive seeds, in order."""
        end = first_seed + schedules
        ranges = [range(seed, min(seed + BATCH, end)) for seed in range(first_seed, end, BATCH)]
        return self._pool.map(_batch, ranges)

    def hunt(self, first_seed: int) -> Iterator[Hunt]:
        """Plants each bug by itself, and plays until it is seen."""
        return self._pool.map(_hunt, MUTATIONS, [first_seed] * len(MUTATIONS))
