"""What `make smoke` can't ask of a house that others use: a full one, and one whose model dies."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

from local.story import OPENING
from session.events import ModelStatus, Queue, ServerFrame, TurnDone
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
        status = await witness.until(client, _has_failed)
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


def _has_failed(frame: ServerFrame) -> bool:
    return isinstance(frame, ModelStatus) and frame.state == "failed"


SCENES = {"full house": full_house, "the model dies": model_dies}


def play(stage: Stage, name: str) -> dict[str, Any]:
    """Raises Unproven."""
    return asyncio.run(SCENES[name](stage))
