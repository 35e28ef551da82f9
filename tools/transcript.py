"""What goes over the wire when something is wrong, frame by frame: `python -m tools.transcript cut|asleep`.

Opens a house of its own and plays one listener. `cut`: the network goes in the middle of
the opening scene, and another connection resumes. `asleep`: the model does not wake, and is woken again.
Times are seconds since the first connection; runs of frames of one type are shown by their ends, and of a
snapshot only how many entries and code points it has.
"""

import asyncio
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from local.client import Client
from local.story import Story
from session.events import ModelStatus, PrologueQuestion, ServerFrame, SessionSnapshot, TurnDelta, TurnDone

REPOSITORY = Path(__file__).parent.parent
WIDTH = 110  # characters of a line
SHOWN = 2  # frames at either end of a run
LONG = 36  # characters of a text that are shown

OPTIONS = {
    "cut": ("--cold-start", "3"),
    "asleep": ("--cold-start", "3", "--fail-starts", "1"),
}


class Transcript:
    """Frames as they pass, and what happened between them."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._lines: list[tuple[str, str]] = []  # (what a run of lines has in common, the line)

    def note(self, what: str) -> None:
        self._add(what, f"-- {what} --")

    def sent(self, frame: dict[str, Any]) -> None:
        fields = {name: value for name, value in frame.items() if name != "action"}
        self._add(f"sent {len(self._lines)}", f"->  {frame['action']}{_fields(fields)}")

    def heard(self, frame: ServerFrame) -> None:
        fields = frame.model_dump(exclude_none=True, exclude_defaults=True, exclude={"type"})
        if isinstance(frame, SessionSnapshot):
            told = [f"{one.turn_id} v{one.version} {one.status}, {len(one.text)}" for one in frame.turns]
            fields = {"prologue": len(frame.prologue), "turns": "; ".join(told)}
        kind = f"{frame.type} {fields.get('state', '')}"
        self._add(kind, f"<-  {frame.type}{_fields(fields)}")

    def show(self) -> None:
        for _, run in groupby(self._lines, key=lambda line: line[0]):
            lines = [line for _, line in run]
            between = len(lines) - 2 * SHOWN
            if between > 1:
                lines[SHOWN:-SHOWN] = [f"{'':9}    … {between} more"]
            print("\n".join(line[:WIDTH] for line in lines))

    def _add(self, kind: str, line: str) -> None:
        self._lines.append((kind, f"{time.monotonic() - self._began:9.3f} {line}"))


class Listener(Client):
    """A client that writes down what passes."""

    def __init__(self, url: str, transcript: Transcript, story: Story | None = None) -> None:
        super().__init__(url, story)
        self._transcript = transcript

    async def send(self, frame: dict[str, Any]) -> None:
        self._transcript.sent(frame)
        await super().send(frame)

    async def frames(self) -> AsyncIterator[ServerFrame]:
        async for frame in super().frames():
            self._transcript.heard(frame)
            yield frame

    async def until(self, wanted: Callable[[ServerFrame], bool]) -> None:
        async for frame in self.frames():
            if wanted(frame):
                return
        raise SystemExit("the stage hung up")


async def cut(url: str, transcript: Transcript) -> None:
    async with Listener(url, transcript) as client:
        await client.hello()
        await client.until(lambda frame: isinstance(frame, PrologueQuestion))
        await client.send({"action": "skip"})
        await client.until(lambda frame: isinstance(frame, TurnDelta))
        client.socket.transport.abort()
    text = client.story.turns["opening"].text
    transcript.note(f"the network is gone; {len(text)} code points were read, up to {text[-LONG:]!r}")
    transcript.note("another connection")
    async with Listener(url, transcript, client.story) as client:
        await client.hello()
        await client.until(lambda _: client.story.held is None and client.story.turns["opening"].over)
    whole = client.story.turns["opening"].text
    went_on = (
        "what was read is its beginning" if whole.startswith(text) else "WHAT WAS READ IS NOT ITS BEGINNING"
    )
    transcript.note(f"{len(whole)} code points; {went_on}")


async def asleep(url: str, transcript: Transcript) -> None:
    async with Listener(url, transcript) as client:
        await client.hello()
        await client.until(lambda frame: isinstance(frame, PrologueQuestion))
        await client.send({"action": "skip"})
        await client.until(lambda frame: isinstance(frame, ModelStatus) and frame.state == "failed")
        transcript.note("the FAQ needs no model")
        turn = await client.say("How long do I have to wait?")
        await client.until(lambda frame: isinstance(frame, TurnDone) and frame.turn_id == turn)
        transcript.note("once more")
        await client.send({"action": "wake"})
        await client.until(lambda frame: isinstance(frame, TurnDone) and frame.turn_id == "opening")


SCENES = {"cut": cut, "asleep": asleep}


def main(
    scene: Annotated[Literal["cut", "asleep"], typer.Argument(help="What goes wrong.")],
    model: Annotated[
        str, typer.Option(help="As of `make run`; one that tells slowly shows more of a cut.")
    ] = "demo",
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    stage = subprocess.Popen(
        [sys.executable, "-m", "local", "--port", str(port), "--model", model, *OPTIONS[scene]],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert stage.stdout is not None
    try:
        _, _, url = stage.stdout.readline().partition("websocket=")
        if not url:
            raise SystemExit("the stage did not start; run `make run` to see why")
        transcript = Transcript()
        asyncio.run(SCENES[scene](url.strip(), transcript))
        transcript.show()
    finally:
        stage.send_signal(signal.SIGINT)
        stage.wait()
        stage.stdout.close()


def _fields(fields: dict[str, Any]) -> str:
    """`name=value` of each, long texts cut short."""
    shown = []
    for name, value in fields.items():
        text = json.dumps(value, ensure_ascii=False)
        shown.append(f"{name}={text if len(text) <= LONG else text[: LONG - 1] + '…'}")
    return " " + " ".join(shown) if shown else ""


if __name__ == "__main__":
    typer.run(main)
