"""What a listener meets where something is wrong, over real sockets: it is said, and the house goes on."""

import asyncio
import json
from collections.abc import Iterator

import pytest

from local.client import Client
from session.events import (
    ErrorFrame,
    Frame,
    ModelStatus,
    PrologueLine,
    TurnDone,
    TurnStarted,
)
from tests.fakes import emerald_city
from tests.house import House, open_house
from tests.listening import (
    PATIENCE,
    ends,
    is_error,
    is_question,
    play,
    refused,
    say,
    skip_to_story,
    talkative,
    tells,
    until,
)

A_SECOND = 1.1  # after which as many frames again are taken from one connection


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A stage whose slow model can't be found at first."""
    model = talkative(tmp_path_factory.mktemp("models"))
    options = ("--model", model, "--world", "emerald-city", "--fail-starts", "1")
    with open_house(*options, complains=True) as running:
        yield running


def has_failed(frame: Frame) -> bool:
    return isinstance(frame, ModelStatus) and frame.state == "failed"


def test_a_model_that_does_not_wake_is_told_in_character_and_can_be_woken(house: House) -> None:
    async def scene(client: Client) -> None:
        await until(client, is_question)
        await client.send({"action": "skip"})
        heard = await until(client, has_failed)
        status = heard[-1]
        assert isinstance(status, ModelStatus)
        assert status.message
        assert emerald_city().failed.text in [f.text for f in heard if isinstance(f, PrologueLine)]
        turn = await say(client, "How long do I have to wait?")
        assert client.story.turns[turn].source == "faq"
        await client.send({"action": "wake"})
        await until(client, tells("opening"))
        await client.send({"action": "stop", "turn_id": "opening"})
        await until(client, ends("opening"))

    play(house.websocket, scene)


def test_bad_frames_get_their_errors_and_harm_nothing(house: House) -> None:
    async def scene(client: Client) -> None:
        async def wrong(frame: str | list[str]) -> str:
            await client.socket.send(frame)
            last = (await until(client, is_error))[-1]
            assert isinstance(last, ErrorFrame)
            return last.code

        await until(client, is_question)
        assert await wrong("not json") == "not_json"
        assert await wrong('{"action": "dance"}') == "unknown_action"
        assert await wrong('{"action": "say"}') == "invalid_frame"
        assert (
            await refused(client, {"action": "say", "turn_id": "t", "text": "I go in."}) == "story_not_begun"
        )
        hundred_kb = json.dumps({"action": "say", "turn_id": "t", "text": "x" * 100_000})
        assert await wrong([hundred_kb[i : i + 30_000] for i in range(0, len(hundred_kb), 30_000)]) == (
            "frame_too_large"
        )
        assert await refused(client, {"action": "list"}) == "no_subject"
        await asyncio.sleep(A_SECOND)
        await client.send({"action": "skip"})
        await until(client, tells("opening"))
        await client.send({"action": "stop", "turn_id": "opening"})
        await until(client, ends("opening"))
        assert await refused(client, {"action": "say", "turn_id": "t", "text": "  "}) == "empty_text"
        assert (
            await refused(client, {"action": "say", "turn_id": "t", "text": "x" * 5_000}) == "text_too_long"
        )
        await asyncio.sleep(A_SECOND)
        assert await refused(client, {"action": "undo", "turn_id": "opening"}) == "not_last_turn"
        turn = await client.say("Go on.")
        await until(client, lambda frame: isinstance(frame, TurnStarted) and frame.turn_id == turn)
        assert await refused(client, {"action": "say", "turn_id": "t2", "text": "Me too."}) == "turn_running"
        await client.send({"action": "stop", "turn_id": turn})
        await until(client, ends(turn))

    play(house.websocket, scene)


def test_say_before_hello_and_wrong_keys_are_refused(house: House) -> None:
    async def run() -> None:
        async with asyncio.timeout(PATIENCE), Client(house.websocket) as client:
            wrong: list[dict[str, object]] = [
                {"action": "say", "turn_id": "t", "text": "Hello?"},
                {"action": "hello", "v": 1, "session_id": "nobody", "resume_key": "x"},
                {"action": "hello", "v": 9},
            ]
            codes = [await refused(client, frame) for frame in wrong]
            assert codes == ["no_session", "unknown_session", "unsupported_version"]

    asyncio.run(run())


def test_a_flood_of_frames_is_refused_but_a_stop_gets_through(house: House) -> None:
    async def scene(client: Client) -> None:
        await skip_to_story(client, cut_short=True)
        turn = await say(client, "Go on.", tells)
        for number in range(60):
            await client.socket.send(json.dumps({"action": "pause", "request_id": f"flood-{number}"}))
        await client.send({"action": "stop", "turn_id": turn})
        heard = await until(client, ends(turn))
        done = heard[-1]
        assert isinstance(done, TurnDone)
        assert done.status == "stopped"
        codes = {frame.code for frame in heard if isinstance(frame, ErrorFrame)}
        assert codes == {"too_many_frames"}
        await asyncio.sleep(1.1)
        await say(client, "How long do I have to wait?")

    play(house.websocket, scene)
