"""The whole of Curtain over real sockets: real emulator, real runtime client, real table, real model."""

import asyncio
import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from local.client import Client
from local.options import MODELS
from local.story import Story
from session.events import (
    Frame,
    ModelStatus,
    PrologueFragment,
    PrologueLine,
    PrologueQuestion,
    SessionDeleted,
    SessionExport,
    SessionList,
    SessionReady,
    SessionRenamed,
    SessionSnapshot,
    TurnDelta,
    TurnDone,
    TurnRemoved,
    TurnStarted,
)
from tests.house import House, open_house
from tests.listening import (
    PATIENCE,
    answer,
    ends,
    is_a,
    is_question,
    play,
    refused,
    say,
    skip_to_story,
    until,
)

HOUSE_QUESTION = "How long do I have to wait?"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """All worlds, the demo model under two names, everybody signed in; a cold start that lets the prologue be
    seen."""
    understudy = tmp_path_factory.mktemp("models") / "understudy"
    shutil.copytree(MODELS / "demo", understudy)
    options = ("--model", "demo", "--model", str(understudy), "--cold-start", "6", "--subject", "ada")
    with open_house(*options) as running:
        yield running


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
        await say(client, HOUSE_QUESTION)
        await say(client, "I open the little green door.")

    story = play(house.websocket, scene)
    turns = list(story.turns.values())
    assert [turn.source for turn in turns] == ["model", "faq", "model"]
    assert [turn.status for turn in turns] == ["completed"] * 3
    opening, house_turn, _ = turns
    assert opening.done is not None
    assert opening.done.metrics is not None
    assert opening.done.metrics.cold_start_s is not None
    assert opening.done.metrics.cold_start_s >= 6
    assert opening.done.metrics.decode_tokens_per_s > 0
    assert opening.done.metrics.energy_wh > 0
    assert house_turn.done is not None
    assert house_turn.done.saved is not None
    assert house_turn.done.saved.cost_usd > 0

    states = [frame.state for frame in seen if isinstance(frame, ModelStatus)]
    assert [state for state, before in zip(states, [None, *states], strict=False) if state != before][:4] == [
        "cold",
        "starting",
        "loading",
        "ready",
    ]
    read = [f.loaded_bytes for f in seen if isinstance(f, ModelStatus) and f.loaded_bytes is not None]
    assert read == sorted(read)
    assert len(set(read)) > 2  # real progress, not one jump
    assert any(isinstance(frame, PrologueFragment) for frame in seen)
    deltas = [frame for frame in seen if isinstance(frame, TurnDelta) and frame.turn_id == "opening"]
    assert len(deltas) > 1  # streamed


def test_two_listeners_are_served_side_by_side(house: House) -> None:
    async def both() -> list[Story]:
        async with asyncio.timeout(PATIENCE), Client(house.websocket) as one, Client(house.websocket) as two:
            await asyncio.gather(one.hello(), two.hello())
            await asyncio.gather(skip_to_story(one), skip_to_story(two))
            await asyncio.gather(say(one, "I look around."), say(two, "I sing a song."))
            return [one.story, two.story]

    one, two = asyncio.run(both())
    assert one.session_id != two.session_id
    for story in (one, two):
        assert [turn.status for turn in story.turns.values()] == ["completed", "completed"]
    assert len([line for line in house.log if "curtain-demo/" in line and "cold start" in line]) == 2


def test_every_version_of_a_turn_is_kept_and_an_undone_turn_is_gone(house: House) -> None:
    async def scene(client: Client) -> None:
        await skip_to_story(client)
        turn = await say(client, "I open the little green door.")
        retry = {"action": "retry", "turn_id": turn, "version": 1}
        await answer(client, retry, ends(turn, 2))
        again = await answer(client, retry, is_a(TurnStarted, TurnDone))  # as after a lost answer
        assert getattr(again, "version", None) == 2
        edit = {"action": "edit", "turn_id": turn, "version": 2, "text": "I knock at the little green door."}
        await answer(client, edit, ends(turn, 3))
        assert await refused(client, retry) == "not_last_turn"
        await until(client, is_a(SessionSnapshot))  # the client has asked for the story as it is
        kept = [one for one in house.turns(client.story.session_id) if one.turn_id == turn]
        assert [(one.version, one.said) for one in kept] == [
            (1, "I open the little green door."),
            (2, "I open the little green door."),
            (3, "I knock at the little green door."),
        ]
        assert all(one.text for one in kept)

        asked = await say(client, HOUSE_QUESTION)
        assert client.story.turns[asked].source == "faq"
        mine = {"action": "not_faq", "turn_id": asked, "version": 1}
        done = await answer(client, mine, ends(asked, 2))
        assert isinstance(done, TurnDone)
        assert done.usage is not None
        undo = {"action": "undo", "turn_id": asked}
        for _ in range(2):
            removed = await answer(client, undo, is_a(TurnRemoved))
            assert isinstance(removed, TurnRemoved)
            assert removed.turn_id == asked
        assert {one.turn_id for one in house.turns(client.story.session_id)} == {"opening", turn}
        await answer(client, {"action": "retry", "turn_id": turn, "version": 3}, ends(turn, 4))

    play(house.websocket, scene)


def test_another_model_tells_the_story_on(house: House) -> None:
    async def scene(client: Client) -> None:
        await skip_to_story(client)
        switch = {"action": "model", "name": "understudy"}
        status = await answer(client, switch, lambda frame: getattr(frame, "name", "") == "understudy")
        assert isinstance(status, ModelStatus)
        assert status.state == "cold"
        turn = await say(client, "I look around.")
        assert client.story.turns[turn].status == "completed"
        assert await refused(client, {"action": "model", "name": "nobody"}) == "unknown_model"

    play(house.websocket, scene)
    assert [line for line in house.log if "curtain-understudy/1" in line and "cold start" in line]


def test_another_world_in_another_language_is_another_story(house: House) -> None:
    async def run() -> None:
        async with asyncio.timeout(PATIENCE), Client(house.websocket) as client:
            await client.hello()
            first = (await until(client, is_a(SessionReady)))[-1]
            assert isinstance(first, SessionReady)
            assert (first.world, first.language) == (first.worlds[0].name, first.worlds[0].language)
            await until(client, is_question)
            told = dict(client.story.entries)
            key = client.story.resume_key
            there = next(one for one in first.worlds if one.name != first.world and one.language != "en")
            switch = {"action": "world", "name": there.name, "language": there.language}
            ready = await answer(client, switch, is_a(SessionReady))
            assert isinstance(ready, SessionReady)
            assert (ready.world, ready.language) == (there.name, there.language)
            assert ready.session_id != first.session_id
            lines = await until(client, is_question)
            assert not {f.text for f in lines if isinstance(f, PrologueLine)} & {
                entry.text for entry in told.values() if isinstance(entry, PrologueLine)
            }
            await client.send({"action": "skip"})
            await until(client, ends("opening"))
        old = Story(session_id=first.session_id, resume_key=key)
        async with asyncio.timeout(PATIENCE), Client(house.websocket, old) as client:
            await client.hello()
            await until(client, is_a(SessionSnapshot))
            assert client.story.entries == told

    asyncio.run(run())


async def _gone(left: Callable[[object], bool], house: House) -> None:
    """Waits until the table has no such item."""
    give_up = time.monotonic() + PATIENCE
    while found := [item for item in house.items() if left(item)]:
        assert time.monotonic() < give_up, found
        await asyncio.sleep(0.2)


def test_a_story_is_named_listed_exported_and_then_gone(house: House) -> None:
    said = "I climb the seventh violet staircase."  # nobody else says so

    kept: list[Story] = []

    async def scene(client: Client) -> None:
        await skip_to_story(client)
        turn = await say(client, said)
        session_id = client.story.session_id
        kept.append(Story(session_id=session_id, resume_key=client.story.resume_key))
        named = await answer(client, {"action": "rename", "title": "The green door"}, is_a(SessionRenamed))
        assert isinstance(named, SessionRenamed)
        listed = await answer(client, {"action": "list"}, is_a(SessionList))
        assert isinstance(listed, SessionList)
        mine = {view.session_id: view.title for view in listed.sessions}
        assert mine[session_id] == "The green door"

        texts = [client.story.turns[one].text for one in ("opening", turn)]
        await answer(client, {"action": "export", "format": "markdown"}, is_a(SessionExport))
        told = client.story.exported or ""
        assert told.startswith("# The green door\n")
        assert all(text.strip() in told for text in texts)
        assert f"> {said}" in told
        await answer(client, {"action": "export", "format": "json"}, is_a(SessionExport))
        document = json.loads(client.story.exported or "")
        assert document["title"] == "The green door"
        assert [(one["said"], one["text"]) for one in document["turns"]] == [("", texts[0]), (said, texts[1])]

        open_turn = await client.say("I go in.")  # deleted in the middle of a turn
        await until(client, is_a(TurnStarted))
        gone = await answer(client, {"action": "delete"}, is_a(SessionDeleted))
        assert isinstance(gone, SessionDeleted)
        assert gone.session_id == session_id
        # The line remembers whose it was as long as it lasts, so that `delete` can be said again.
        await _gone(lambda item: session_id in str(item) and "connection#" not in str(item), house)
        await answer(client, {"action": "delete"}, is_a(SessionDeleted))
        assert not [item for item in house.items() if said in str(item)]
        assert open_turn not in str(house.items())

    play(house.websocket, scene)
    asyncio.run(_gone(lambda item: kept[0].session_id in str(item), house))

    async def comes_back(client: Client) -> None:
        await until(client, lambda frame: getattr(frame, "code", "") == "unknown_session")

    play(house.websocket, comes_back, kept[0])


def test_the_light_function_never_imported_torch() -> None:
    import subprocess
    import sys

    code = "import prologue.handler, sys; assert not {'torch', 'faiss', 'onnxruntime'} & set(sys.modules)"
    environment = {"PATH": "", "PYTHONPATH": str(Path(__file__).parent.parent)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
