"""A full house over real sockets: one model environment, three listeners, and nobody waits without a word."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack

import pytest

from local.client import Client
from session.events import ModelStatus, Queue, ServerFrame, TurnDelta
from tests.house import House, open_house
from tests.listening import PATIENCE, ends, is_a, is_question, until


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    """One environment, and a cold start long enough for all three to arrive."""
    with open_house("--environments", "1", "--cold-start", "4", "--world", "emerald-city") as running:
        yield running


def is_starting(frame: ServerFrame) -> bool:
    return isinstance(frame, ModelStatus) and frame.state == "starting"


def test_three_listeners_at_one_environment_are_told_their_places_and_served_in_order(house: House) -> None:
    served: list[int] = []
    places: list[list[int]] = [[], [], []]
    states: list[list[str]] = [[], [], []]

    async def listen(client: Client, number: int) -> None:
        async for frame in client.frames():
            match frame:
                case Queue():
                    places[number].append(frame.place)
                case ModelStatus():
                    states[number].append(frame.state)
                case TurnDelta() if number not in served:
                    served.append(number)
            if ends("opening")(frame):
                return

    async def run() -> None:
        async with asyncio.timeout(PATIENCE), AsyncExitStack() as connected:
            clients = [await connected.enter_async_context(Client(house.websocket)) for _ in range(3)]
            for client in clients:
                await client.hello()
                await until(client, is_question)
            listening = []
            for number, client in enumerate(clients):
                await client.send({"action": "skip"})
                # The model wakes for the first; the others are told at once that they have to wait.
                heard = await until(client, is_a(Queue) if number else is_starting)
                places[number] += [frame.place for frame in heard if isinstance(frame, Queue)]
                listening.append(asyncio.create_task(listen(client, number)))
            assert not served
            await asyncio.gather(*listening)

    asyncio.run(run())
    assert served == [0, 1, 2]
    assert places[0] == []
    assert places[1] == [1]
    assert places[2][0] == 2
    assert states[1][0] == states[2][0] == "full"
    assert "full" not in states[0]
    assert len([line for line in house.log if "cold start" in line]) == 1
