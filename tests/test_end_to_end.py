"""The whole of Curtain over real sockets: real emulator, real runtime client, real table, real model."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from local.client import Client, TooLong
from local.story import Story
from session.events import (
    ErrorFrame,
    Frame,
    ModelStatus,
    PrologueFragment,
    PrologueQuestion,
    ServerFrame,
    SessionSnapshot,
    SessionSuperseded,
    TurnDelta,
    TurnDone,
    TurnStarted,
)
from tests.checkpoints import edit_json, write_checkpoint
from tests.house import House, open_house

NEVER = 1_000_000  # a token that no vocabulary has: the reply ends by its length alone
PATIENCE = 120.0  # seconds until a test gives up; never a measurement


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    """The default stage, its cold start stretched so that the prologue is seen."""
    with open_house("--cold-start", "6") as running:
        yield running


@pytest.fixture(scope="module")
def talkative(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A stage whose model (random weights) tells 400 tokens slowly, so that there is time to interrupt it."""
    model = write_checkpoint(
        tmp_path_factory.mktemp("models") / "talkative", hidden=768, inner=2048, layers=12, heads=12,
        head_dim=64, kv_heads=4, context=2048,
    )  # fmt: skip
    edit_json(model / "generation_config.json", eos_token_id=NEVER)
    with open_house("--model", str(model)) as running:
        yield running


def play(url: str, scene: Callable[[Client], Awaitable[None]], story: Story | None = None) -> Story:
    async def run() -> Story:
        async with asyncio.timeout(PATIENCE), Client(url, story) as client:
            await client.hello()
            await scene(client)
            return client.story

    return asyncio.run(run())


async def until(client: Client, wanted: Callable[[ServerFrame], bool]) -> list[Frame]:
    """All frames up to the wanted one."""
    seen: list[Frame] = []
    async for frame in client.frames():
        seen.append(frame)
        if wanted(frame):
            return seen
    raise AssertionError(f"the connection ended after {seen[-3:]}")


def is_question(frame: ServerFrame) -> bool:
    return isinstance(frame, PrologueQuestion)


def ends(turn_id: str) -> Callable[[ServerFrame], bool]:
    return lambda frame: isinstance(frame, TurnDone) and frame.turn_id == turn_id


def tells(turn_id: str) -> Callable[[ServerFrame], bool]:
    return lambda frame: isinstance(frame, TurnDelta) and frame.turn_id == turn_id


def is_error(frame: ServerFrame) -> bool:
    return isinstance(frame, ErrorFrame)


async def skip_to_story(client: Client, *, cut_short: bool = False) -> None:
    await until(client, is_question)
    await client.send({"action": "skip"})
    if cut_short:
        await until(client, tells("opening"))
        await client.send({"action": "stop", "turn_id": "opening"})
    await until(client, ends("opening"))


async def stored(url: str, story: Story) -> Story:
    """The story as the table holds it, by a fresh client."""
    fresh = Story(session_id=story.session_id, resume_key=story.resume_key)
    async with Client(url, fresh) as client:
        await client.hello()
        await until(client, lambda f: isinstance(f, SessionSnapshot) and f.part == f.parts)
    return fresh


def test_prologue_opening_scene_a_turn_and_a_question_about_the_house(house: House) -> None:
    seen: list[Frame] = []

    async def scene(client: Client) -> None:
        seen.extend(await until(client, is_question))
        await client.send({"action": "answer", "question_id": "name", "text": "Ada"})
        asked = await until(client, is_question)
        seen.extend(asked)
        question = next(frame for frame in asked if isinstance(frame, PrologueQuestion))
        choice = question.choices[0].id
        await client.send({"action": "answer", "question_id": question.id, "choice": choice})
        seen.extend(await until(client, is_question))
        await client.send({"action": "skip"})
        seen.extend(await until(client, ends("opening")))
        house_turn = await client.say("How long do I have to wait?")
        seen.extend(await until(client, ends(house_turn)))
        turn = await client.say("I open the little green door.")
        seen.extend(await until(client, ends(turn)))

    story = play(house.websocket, scene)
    turns = list(story.turns.values())
    assert [turn.source for turn in turns] == ["model", "faq", "model"]
    assert [turn.status for turn in turns] == ["completed"] * 3
    opening = turns[0]
    assert opening.done is not None
    assert opening.done.metrics is not None
    assert opening.done.metrics.cold_start_s is not None
    assert opening.done.metrics.cold_start_s >= 6
    assert opening.done.metrics.decode_tokens_per_s > 0

    states = [frame.state for frame in seen if isinstance(frame, ModelStatus)]
    assert [state for state, before in zip(states, [None, *states], strict=False) if state != before][:4] == [
        "cold",
        "starting",
        "loading",
        "ready",
    ]
    read = [f.loaded_bytes for f in seen if isinstance(f, ModelStatus) and f.loaded_bytes is not None]
    assert read == sorted(read)
    assert len(set(read)) > 5  # real progress, not one jump
    assert any(isinstance(frame, PrologueFragment) for frame in seen)
    deltas = [frame for frame in seen if isinstance(frame, TurnDelta) and frame.turn_id == "opening"]
    assert len(deltas) > 1  # streamed


def test_two_listeners_are_served_side_by_side(house: House) -> None:
    async def both() -> list[Story]:
        async with asyncio.timeout(PATIENCE), Client(house.websocket) as one, Client(house.websocket) as two:
            await asyncio.gather(one.hello(), two.hello())
            await asyncio.gather(skip_to_story(one), skip_to_story(two))
            first, second = await asyncio.gather(one.say("I look around."), two.say("I sing a song."))
            await asyncio.gather(until(one, ends(first)), until(two, ends(second)))
            return [one.story, two.story]

    one, two = asyncio.run(both())
    assert one.session_id != two.session_id
    for story in (one, two):
        assert [turn.status for turn in story.turns.values()] == ["completed", "completed"]
    assert len([line for line in house.log if "cold start" in line]) == 2  # an environment each


def test_stop_ends_the_reply_and_the_story_goes_on(talkative: House) -> None:
    kept: list[Story] = []

    async def scene(client: Client) -> None:
        await skip_to_story(client, cut_short=True)
        turn = await client.say("Tell me everything.")
        await until(client, tells(turn))
        await client.send({"action": "stop", "turn_id": turn})
        done = (await until(client, ends(turn)))[-1]
        assert isinstance(done, TurnDone)
        assert done.status == "stopped"
        assert done.usage is not None
        assert done.usage.completion_tokens < 400
        kept.append(await stored(talkative.websocket, client.story))
        assert kept[0].turns[turn].status == "stopped"
        assert len(kept[0].turns[turn].text) == done.length

    play(talkative.websocket, scene)

    async def goes_on(client: Client) -> None:
        await until(client, lambda frame: isinstance(frame, SessionSnapshot))
        turn = await client.say("And now?")
        await until(client, tells(turn))
        await client.send({"action": "stop", "turn_id": turn})
        await until(client, ends(turn))

    play(talkative.websocket, goes_on, kept[0])


def test_a_reader_who_loses_the_network_in_mid_reply_loses_no_word(talkative: House) -> None:
    async def run() -> None:
        async with asyncio.timeout(PATIENCE):
            async with Client(talkative.websocket) as client:
                await client.hello()
                await skip_to_story(client, cut_short=True)
                turn = await client.say("Go on.")
                await until(client, tells(turn))
            story = client.story  # the connection is gone, in the middle of the reply
            await asyncio.sleep(0.5)
            async with Client(talkative.websocket, story) as client:
                await client.hello()
                await until(client, lambda _: story.turns[turn].over)
            table = await stored(talkative.websocket, story)
            assert story.turns[turn].text == table.turns[turn].text
            assert story.turns[turn].status == table.turns[turn].status == "completed"

    asyncio.run(run())


def test_the_newest_connection_wins(talkative: House) -> None:
    async def run() -> None:
        async with asyncio.timeout(PATIENCE), Client(talkative.websocket) as old:
            await old.hello()
            await until(old, is_question)
            fresh = Story(session_id=old.story.session_id, resume_key=old.story.resume_key)
            async with Client(talkative.websocket, fresh) as new:
                await new.hello()
                await until(new, lambda frame: isinstance(frame, ModelStatus))
                await until(old, lambda frame: isinstance(frame, SessionSuperseded))
                assert new.story.entries == old.story.entries

    asyncio.run(run())


def test_bad_frames_get_their_errors_and_harm_nothing(talkative: House) -> None:
    async def scene(client: Client) -> None:
        async def refused(frame: str | list[str]) -> str:
            await client.socket.send(frame)
            last = (await until(client, is_error))[-1]
            assert isinstance(last, ErrorFrame)
            assert last.message
            assert last.hint
            return last.code

        await until(client, is_question)
        assert await refused("not json") == "not_json"
        assert await refused('{"action": "dance"}') == "unknown_action"
        assert await refused('{"action": "say"}') == "invalid_frame"
        assert await refused('{"action": "say", "turn_id": "t", "text": "I go in."}') == "story_not_begun"
        hundred_kb = '{"action": "say", "turn_id": "t", "text": "' + "x" * 100_000 + '"}'
        frames = [hundred_kb[i : i + 30_000] for i in range(0, len(hundred_kb), 30_000)]
        assert await refused(frames) == "frame_too_large"
        await client.send({"action": "skip"})
        await until(client, tells("opening"))
        await client.send({"action": "stop", "turn_id": "opening"})
        await until(client, ends("opening"))
        assert await refused('{"action": "say", "turn_id": "t", "text": "  "}') == "empty_text"
        long = '{"action": "say", "turn_id": "t", "text": "' + "x" * 5_000 + '"}'
        assert await refused(long) == "text_too_long"
        turn = await client.say("Go on.")
        await until(client, lambda frame: isinstance(frame, TurnStarted) and frame.turn_id == turn)
        assert await refused('{"action": "say", "turn_id": "t2", "text": "Me too."}') == "turn_running"
        await client.send({"action": "stop", "turn_id": turn})
        await until(client, ends(turn))

    play(talkative.websocket, scene)


def test_say_before_hello_and_wrong_keys_are_refused(talkative: House) -> None:
    async def run() -> None:
        async with asyncio.timeout(PATIENCE), Client(talkative.websocket) as client:
            codes = []
            for frame in (
                {"action": "say", "turn_id": "t", "text": "Hello?"},
                {"action": "hello", "v": 1, "session_id": "nobody", "resume_key": "x"},
                {"action": "hello", "v": 9},
            ):
                await client.send(frame)
                last = (await until(client, is_error))[-1]
                assert isinstance(last, ErrorFrame)
                codes.append(last.code)
            assert codes == ["no_session", "unknown_session", "unsupported_version"]

    asyncio.run(run())


def test_an_oversized_frame_closes_the_socket_and_the_session_resumes(talkative: House) -> None:
    async def run() -> None:
        async with asyncio.timeout(PATIENCE):
            async with Client(talkative.websocket) as client:
                await client.hello()
                await until(client, is_question)
                with pytest.raises(TooLong):
                    await client.say("x" * 40_000)
                await client.socket.send("x" * 40_000)  # as a careless client would
                with pytest.raises(ConnectionClosed) as closed:
                    await until(client, is_error)
                assert closed.value.rcvd is not None
                assert closed.value.rcvd.code == 1009
            table = await stored(talkative.websocket, client.story)
            assert table.entries == client.story.entries

    asyncio.run(run())


def test_the_light_function_never_imported_torch() -> None:
    import subprocess
    import sys

    code = "import prologue.handler, sys; assert not {'torch', 'faiss', 'onnxruntime'} & set(sys.modules)"
    environment = {"PATH": "", "PYTHONPATH": str(Path(__file__).parent.parent)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
