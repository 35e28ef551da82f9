"""A listener of the end-to-end tests: waits for frames, and gets through a prologue."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from local.client import Client
from local.story import Story
from session.events import (
    ErrorFrame,
    Frame,
    PrologueQuestion,
    ServerFrame,
    TurnDelta,
    TurnDone,
)
from tests.checkpoints import edit_json, write_checkpoint

NEVER = 1_000_000  # a token that no vocabulary has: the reply ends by its length alone
PATIENCE = 60.0  # seconds until a test gives up; never a measurement

Wanted = Callable[[ServerFrame], bool]


def play(url: str, scene: Callable[[Client], Awaitable[None]], story: Story | None = None) -> Story:
    """Plays a scene on one connection, greeted."""

    async def run() -> Story:
        async with asyncio.timeout(PATIENCE), Client(url, story) as client:
            await client.hello()
            await scene(client)
            return client.story

    return asyncio.run(run())


async def until(client: Client, wanted: Wanted) -> list[Frame]:
    """All frames up to the wanted one."""
    seen: list[Frame] = []
    async for frame in client.frames():
        print(time.strftime("%X"), frame.wire()[:100])  # shown where the test fails
        seen.append(frame)
        if wanted(frame):
            return seen
    raise AssertionError(f"the connection ended after {seen[-3:]}")


async def answer(client: Client, frame: dict[str, Any], wanted: Wanted) -> Frame:
    """Sends a frame; the wanted one that follows."""
    await client.send(frame)
    return (await until(client, wanted))[-1]


async def refused(client: Client, frame: dict[str, Any]) -> str:
    """Sends a frame; the code of the error that follows."""
    error = await answer(client, frame, is_error)
    assert isinstance(error, ErrorFrame)
    assert error.message
    assert error.hint
    return error.code


def is_question(frame: ServerFrame) -> bool:
    return isinstance(frame, PrologueQuestion)


def is_error(frame: ServerFrame) -> bool:
    return isinstance(frame, ErrorFrame)


def is_a(*kinds: type[Frame]) -> Wanted:
    return lambda frame: isinstance(frame, kinds)


def ends(turn_id: str, version: int = 1) -> Wanted:
    return lambda frame: isinstance(frame, TurnDone) and frame.turn_id == turn_id and frame.version == version


def tells(turn_id: str, version: int = 1) -> Wanted:
    return lambda frame: (
        isinstance(frame, TurnDelta) and frame.turn_id == turn_id and frame.version == version
    )


async def skip_to_story(client: Client, *, cut_short: bool = False) -> None:
    await until(client, is_question)
    await client.send({"action": "skip"})
    if cut_short:
        await until(client, tells("opening"))
        await client.send({"action": "stop", "turn_id": "opening"})
    await until(client, ends("opening"))


async def say(client: Client, text: str, wanted: Callable[[str], Wanted] = ends) -> str:
    """Says it and waits for its end, or for what `wanted` makes of the turn's id; returns the id."""
    turn = await client.say(text)
    await until(client, wanted(turn))
    return turn


def talkative(folder: Path) -> str:
    """A model of random weights that tells 400 tokens slowly, so that there is time to interrupt it."""
    model = write_checkpoint(
        folder / "talkative",
        hidden=768,
        inner=2048,
        layers=12,
        heads=12,
        head_dim=64,
        kv_heads=4,
        context=2048,
    )
    edit_json(model / "generation_config.json", eos_token_id=NEVER)
    return str(model)
