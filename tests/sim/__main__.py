"""`python -m tests.sim`: simulates many schedules; the last line is one JSON document."""

import json
import logging
import os
import time
from typing import Annotated

import typer

from tests.sim.simulation import Result, play
from tests.sim.workers import Workers


def main(
    schedules: Annotated[int, typer.Option(help="How many.")] = 10_000,
    seed: Annotated[int, typer.Option(help="Of the first one; the others follow.")] = 0,
    workers: Annotated[int, typer.Option(help="Processes; 0: one per core.")] = 0,
    replay: Annotated[int | None, typer.Option(help="Tell this one schedule in detail, and end.")] = None,
    lines: Annotated[int, typer.Option(help="So many of the last details.")] = 400,
) -> None:
    """Plays schedules of the real session, prologue and model services on a virtual clock and network."""
    if replay is not None:
        logging.basicConfig(level=logging.ERROR)
        tell(play(replay, traced=True), lines)
        return
    began = time.monotonic()
    played, faults, wrong = 0, 0, []
    with Workers(workers or os.cpu_count() or 1) as pool:
        for batch in pool.simulate(schedules, seed):
            played, faults = played + batch.schedules, faults + batch.faults
            for result in batch.wrong:
                wrong.append(result.seed)
                if len(wrong) <= 3:
                    tell(play(result.seed, traced=True), lines)
            if played % 10_000 == 0:
                print(f"{played:,} schedules, {faults:,} faults, {len(wrong)} with violations", flush=True)
        hunts = list(pool.hunt(seed))
    for hunt in hunts:
        seen = f"after {hunt.schedules}: {hunt.found.violations[0]}" if hunt.found else "NOT SEEN"
        print(f"planted: {hunt.name}: {seen}")
    for seed_of in wrong[:20]:
        print(f"violation: python -m tests.sim --replay {seed_of}")
    figures = {
        "schedules": played,
        "faults": faults,
        "violations": len(wrong),
        "planted": len(hunts),
        "caught": sum(hunt.found is not None for hunt in hunts),
        "seconds": round(time.monotonic() - began, 1),
    }
    print(json.dumps(figures))
    if wrong or figures["caught"] != figures["planted"]:
        raise SystemExit(1)


def tell(result: Result, lines: int) -> None:
    """The last things that happened, and what was wrong."""
    for line in result.trace[-lines:]:
        print(line)
    print(f"seed {result.seed}: {result.faults} faults, {len(result.violations)} violations")
    for violation in result.violations:
        print(f"  {violation}")


if __name__ == "__main__":
    typer.run(main)
