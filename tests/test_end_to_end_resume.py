"""What goes wrong in the middle of a reply, over real sockets: nothing is lost, and nothing is told twice."""

import asyncio
from collections.abc import Iterator

import pytest
from websockets.exceptions import ConnectionClosed

from local.client import Client, TooLong
from local.story import Story
from session.events import ModelStatus, SessionSnapshot, SessionSuperseded, TurnDelta, TurnDone, TurnStarted
from tests.house import House, open_house
from tests.listening import (
    PATIENCE,
    answer,
    ends,
    is_a,
    is_error,
    is_question,
    play,
    say,
    skip_to_story,
    talkative,
    tells,
    until,
)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A stage whose model tells 400 tokens slowly."""
    model = talkative(tmp_path_factory.mktemp("models"))
    with open_house("--model", model, "--world", "emerald-city") as running:
        yield running


def fresh(story: Story) -> Story:
    """Another client, which knows no more than how to resume."""
    return Story(session_id=story.session_id, resume_key=story.resume_key)


def test_another_client_goes_on_in_the_middle_of_a_delta(house: House) -> None:
    async def run() -> None:
        async with asyncio.timeout(PATIENCE):
            async with Client(house.websocket) as client:
                await client.hello()
                await skip_to_story(client, cut_short=True)
                turn = await say(client, "Go on.", tells)
                client.socket.transport.abort()  # no close frame: the network is gone
            here, there = client.story, fresh(client.story)
            async with Client(house.websocket, there) as other:
                await other.hello()
                await until(other, is_a(SessionSnapshot))
                await until(other, tells(turn))  # it goes on where the snapshot ended
                await answer(other, {"action": "stop", "turn_id": turn}, ends(turn))
                if there.held is not None:  # more is stored than was posted: the client has asked for it
                    await until(other, is_a(SessionSnapshot))
            async with Client(house.websocket, here) as client:
                await client.hello()
                await until(client, is_a(SessionSnapshot))
            (kept,) = [one for one in house.turns(here.session_id) if one.turn_id == turn]
            for story in (there, here):
                assert story.turns[turn].text == kept.text
                assert story.turns[turn].status == kept.status == "stopped"

    asyncio.run(run())


def test_both_functions_restart_and_the_story_goes_on(house: House) -> None:
    async def run() -> None:
        async with asyncio.timeout(PATIENCE):
            async with Client(house.websocket) as client:
                await client.hello()
                await skip_to_story(client, cut_short=True)
                turn = await say(client, "Go on.", tells)
                house.crash_model()
                house.restart_light()
                done = (await until(client, ends(turn)))[-1]
                assert isinstance(done, TurnDone)
                assert done.status in ("incomplete", "failed")
            story = fresh(client.story)
            async with Client(house.websocket, story) as client:
                await client.hello()
                await until(client, is_a(SessionSnapshot))
                (kept,) = [one for one in house.turns(story.session_id) if one.turn_id == turn]
                assert story.turns[turn].text == kept.text == kept.text[: done.length]
                assert kept.text
                await client.send({"action": "continue", "turn_id": turn, "version": 1})
                told = (await until(client, tells(turn, 2)))[-1]
                assert isinstance(told, TurnDelta)
                assert (told.offset, told.text) == (0, kept.text)
                await until(client, tells(turn, 2))
                await client.send({"action": "stop", "turn_id": turn})
                await until(client, ends(turn, 2))
                assert [line for line in house.log if "light function goes on in a new environment" in line]
                longer = house.turns(story.session_id)[-1]
                assert (longer.turn_id, longer.version) == (turn, 2)
                assert longer.text.startswith(kept.text)
                assert len(longer.text) > len(kept.text)

    asyncio.run(run())


def test_a_stopped_turn_ends_where_the_screen_stood_still(house: House) -> None:
    async def scene(client: Client) -> None:
        await skip_to_story(client, cut_short=True)
        turn = await say(client, "Tell me everything.", tells)
        await until(client, tells(turn))
        seen = len(client.story.turns[turn].text) // 2
        done = await answer(client, {"action": "stop", "turn_id": turn, "seen": seen}, ends(turn))
        assert isinstance(done, TurnDone)
        assert (done.status, done.length) == ("stopped", seen)
        assert done.usage is not None
        assert done.usage.completion_tokens < 400
        kept = house.turns(client.story.session_id)[-1]
        assert (kept.turn_id, kept.status, len(kept.text)) == (turn, "stopped", seen)
        assert client.story.turns[turn].text == kept.text

        goes_on = {"action": "continue", "turn_id": turn, "version": 1}
        started = await answer(client, goes_on, is_a(TurnStarted))
        assert isinstance(started, TurnStarted)
        assert started.version == 2
        await until(client, tells(turn, 2))
        await client.send({"action": "stop", "turn_id": turn})
        await until(client, ends(turn, 2))

    play(house.websocket, scene)


def test_the_newest_connection_wins(house: House) -> None:
    async def run() -> None:
        async with asyncio.timeout(PATIENCE), Client(house.websocket) as old:
            await old.hello()
            await until(old, is_question)
            async with Client(house.websocket, fresh(old.story)) as new:
                await new.hello()
                await until(new, is_a(ModelStatus))
                await until(old, is_a(SessionSuperseded))
                assert new.story.entries == old.story.entries

    asyncio.run(run())


def test_an_oversized_frame_closes_the_socket_and_the_session_resumes(house: House) -> None:
    async def run() -> None:
        async with asyncio.timeout(PATIENCE):
            async with Client(house.websocket) as client:
                await client.hello()
                await until(client, is_question)
                with pytest.raises(TooLong):
                    await client.say("x" * 40_000)
                await client.socket.send("x" * 40_000)  # as a careless client would
                with pytest.raises(ConnectionClosed) as closed:
                    await until(client, is_error)
                assert closed.value.rcvd is not None
                assert closed.value.rcvd.code == 1009
            story = fresh(client.story)
            async with Client(house.websocket, story) as other:
                await other.hello()
                await until(other, is_a(SessionSnapshot))
            assert story.entries == client.story.entries

    asyncio.run(run())
