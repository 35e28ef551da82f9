"""What `make smoke` can't ask of a house that others use: one that is full, whose model dies, or is tired."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

from local.story import OPENING
from session.events import ModelStatus, Queue, ServerFrame, TurnDone
from tests.cloud.doors import from_another_address
from tests.cloud.stage import Stage
from tools.witness import SOON_S, Witness, need, of

TOO_LITTLE_MB = 24  # the model function is killed in it
LOADING_S = 12  # as long as places are to be taken
FAQ = "How long do I have to wait?"


async def full_house(stage: Stage) -> dict[str, Any]:
    """One listener more than the model has places; the last one waits, is told so, and comes on.

    Raises Unproven.
    """
    stage.model.renew(memory_mb=stage.model.memory_mb, COLD_START_S=str(LOADING_S))
    guests = [Witness(stage.door, name=f"guest {number}") for number in range(1, stage.capacity + 2)]
    async with AsyncExitStack() as lines:
        clients = [await lines.enter_async_context(guest.line()) for guest in guests]
        for guest, client in zip(guests, clients, strict=True):
            await guest.question(client)
            await client.send({"action": "skip"})
            if guest is not guests[-1]:
                await guest.until(client, _is_on_the_way)
        waiting, last = guests[-1], clients[-1]
        queue = await waiting.until(last, lambda frame: isinstance(frame, Queue))
        assert isinstance(queue, Queue)
        answered = await waiting.ended(last, await last.say(FAQ), SOON_S)
        need(waiting.story.turns[answered.turn_id].source == "faq", "the FAQ rests while the house is full")
        statuses = [await guest.ended(client, OPENING) for guest, client in zip(guests, clients, strict=True)]
        told = [done.status for done in statuses]
        need(set(told) == {"completed"}, f"the openings ended as {told}")
        for client in clients:
            await client.send({"action": "delete"})
    stage.model.renew(memory_mb=stage.model.memory_mb, COLD_START_S="0")
    return {"places": stage.capacity, "place in the queue": queue.place, "openings": told}


def _is_on_the_way(frame: ServerFrame) -> bool:
    return isinstance(frame, ModelStatus) and frame.state in ("starting", "loading")


async def model_dies(stage: Stage) -> dict[str, Any]:
    """The model's container is killed while it starts: the failure goes through the queue to the light
    function, which tells the listener; the FAQ goes on; with enough memory the model can be woken.

    Raises Unproven.
    """
    memory_mb = stage.model.memory_mb
    before = len(stage.model.failures)
    stage.model.renew(memory_mb=TOO_LITTLE_MB)
    witness = Witness(stage.door, name="unlucky", fails=True)
    async with witness.line() as client:
        await witness.question(client)
        await client.send({"action": "skip"})
        status = await witness.until(client, has_failed)
        assert isinstance(status, ModelStatus)
        turn = await client.say(FAQ)
        await witness.until(client, of(turn, TurnDone))
        need(witness.story.turns[turn].source == "faq", "the FAQ died with the model")
        failures = stage.model.failures[before:]
        need(len(failures) == 1, f"{len(failures)} failed invokes, where nothing may be tried again")
        stage.model.renew(memory_mb=memory_mb)
        await client.send({"action": "wake"})
        told = await witness.ended(client, OPENING)
        await client.send({"action": "delete"})
    return {"killed": failures[0], "listener was told": status.message, "woken again": told.status}


def has_failed(frame: ServerFrame) -> bool:
    return isinstance(frame, ModelStatus) and frame.state == "failed"


async def share_is_spent(stage: Stage) -> dict[str, Any]:
    """An address that has had its model seconds of the day wakes nobody; prologue and FAQ go on for it, and
    the model for others. Whoever played before has spent more than the moment that is allowed here.

    Raises Unproven.
    """
    stage.light.renew(memory_mb=stage.light.memory_mb, MODEL_SECONDS_PER_DAY_ADDRESS="0.1")
    before = stage.model.invokes
    tired = Witness(stage.door, name="tired")
    async with tired.line() as client:
        await tired.question(client)
        await client.send({"action": "skip"})
        status = await tired.until(client, _is_tired)
        assert isinstance(status, ModelStatus)
        turn = await client.say(FAQ)
        await tired.until(client, of(turn, TurnDone))
        need(tired.story.turns[turn].source == "faq", "the FAQ rests with the model")
        await client.send({"action": "delete"})
    need(stage.model.invokes == before, "a model was invoked beyond the share")
    with from_another_address(stage, "127.0.0.3"):
        fresh = Witness(stage.door, name="fresh")
        async with fresh.line() as client:
            await fresh.question(client)
            await client.send({"action": "skip"})
            told = await fresh.ended(client, OPENING)
            await client.send({"action": "delete"})
    return {"listener was told": status.message, "another address": told.status}


def _is_tired(frame: ServerFrame) -> bool:
    return isinstance(frame, ModelStatus) and "talked enough with you" in (frame.message or "")


SCENES = {"full house": full_house, "the model dies": model_dies}


def play(stage: Stage, scene: Callable[[Stage], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
    """Raises Unproven."""

    async def played() -> dict[str, Any]:
        return await scene(stage)

    return asyncio.run(played())
