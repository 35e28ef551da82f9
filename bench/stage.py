"""From `make run` to the first words: `python -m bench.stage [--runs 3]`.

Starts the real stage several times and measures, from the start of the process: until `ready`, until the
first prologue line at a client, until the model is `ready`, and until the first token of the opening scene
(the prologue is skipped at once, so nobody's reading time is counted). Then one more turn, warm. Medians and
ranges; the last line is one JSON document.
"""

import asyncio
import json
import os
import platform
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from local.client import Client
from session.events import ModelStatus, PrologueLine, PrologueQuestion, ServerFrame, TurnDelta, TurnDone

REPOSITORY = Path(__file__).parent.parent
Figures = dict[str, float]


def main(
    runs: Annotated[int, typer.Option(min=1, help="How often the stage is started.")] = 3,
    port: Annotated[int, typer.Option(help="A free port.")] = 8765,
) -> None:
    measured: list[Figures] = []
    for number in range(runs):
        measured.append(_run(port))
        print(f"run {number + 1}: " + "  ".join(f"{k} {v:.2f}" for k, v in measured[-1].items()))
    figures = {
        name: {
            "median": round(statistics.median(run[name] for run in measured), 3),
            "min": round(min(run[name] for run in measured), 3),
            "max": round(max(run[name] for run in measured), 3),
        }
        for name in measured[0]
    }
    print(
        json.dumps(
            {"machine": f"{platform.machine()}, {os.cpu_count()} cores", "runs": runs, "figures": figures}
        )
    )


def _run(port: int) -> Figures:
    began = time.monotonic()
    stage = subprocess.Popen(
        [sys.executable, "-m", "local", "--port", str(port)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert stage.stdout is not None
    try:
        ready = re.match(r"ready page=\S+ websocket=(\S+)", stage.stdout.readline())
        if ready is None:
            raise SystemExit("the stage did not start; run `make run` to see why")
        figures = {"ready_s": time.monotonic() - began}
        figures |= asyncio.run(_listen(ready[1], began))
    finally:
        stage.send_signal(signal.SIGINT)
        stage.wait()
        stage.stdout.close()
    return figures


async def _listen(url: str, began: float) -> Figures:
    async with Client(url) as client:

        async def until(wanted: Callable[[ServerFrame], bool]) -> ServerFrame:
            async for frame in client.frames():
                if wanted(frame):
                    return frame
            raise SystemExit("the stage hung up")

        await client.hello()
        await until(lambda frame: isinstance(frame, PrologueLine))
        figures = {"first_prologue_line_s": time.monotonic() - began}
        await until(lambda frame: isinstance(frame, PrologueQuestion))
        await client.send({"action": "skip"})
        await until(lambda frame: isinstance(frame, ModelStatus) and frame.state == "ready")
        figures["model_ready_s"] = time.monotonic() - began
        await until(lambda frame: isinstance(frame, TurnDelta))
        figures["first_model_token_s"] = time.monotonic() - began
        opening = await until(lambda frame: isinstance(frame, TurnDone))
        said = time.monotonic()
        await client.say("I open the little green door.")
        await until(lambda frame: isinstance(frame, TurnDelta))
        figures["warm_first_token_s"] = time.monotonic() - said
        warm = await until(lambda frame: isinstance(frame, TurnDone))
        for name, done in (("opening", opening), ("warm", warm)):
            if isinstance(done, TurnDone) and done.metrics:
                figures[f"{name}_decode_tokens_per_s"] = done.metrics.decode_tokens_per_s
        return figures


if __name__ == "__main__":
    typer.run(main)
