"""The story as one text, and the story as frames: nothing missing, nothing too large for its frame."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from session.events import MAX_FRAME_BYTES, PrologueLine, TurnDelta, TurnSnapshot
from session.export import export, newest
from session.pieces import pieces
from session.record import LiveTurn, Session, Turn
from session.snapshots import snapshots

SESSION = Session(
    session_id="s",
    resume_hash="",
    world="emerald-city",
    language="de",
    model_name="demo",
    created=1.0,
    expires=2,
)


def turn(number: int, version: int = 1, text: str = "A door.", **more: Any) -> Turn:
    fields = {"said": "I knock.", "status": "completed", "finish_reason": "stop", "source": "model"}
    named = {"turn_id": f"t{number}", "number": number, "version": version, "text": text, "created": 0.0}
    return Turn.model_validate(fields | named | more)


STORY = [
    turn(0, said="", text="The gate opens.\n\nA fox 🦊 waits."),
    turn(1, 1, "First."),
    turn(1, 2, "Second.\n", said="I knock\n\ntwice."),
    turn(1, 3, "  "),
    turn(2, text="A house of stories.", said="What is this?", source="faq"),
]


def exported(session: Session, turns: list[Turn], format: Any) -> str:
    return "".join(part.text for part in export(session, turns, title="Emerald City", format=format))


def test_the_newest_version_with_text_counts() -> None:
    assert [(told.number, told.version) for told in newest(STORY[::-1])] == [(0, 1), (1, 2), (2, 1)]


def test_markdown_to_read() -> None:
    assert exported(SESSION, STORY, "markdown") == (
        "# Emerald City\n\nThe gate opens.\n\nA fox 🦊 waits.\n\n> I knock\n>\n> twice.\n\nSecond.\n\n"
        "> What is this?\n\n*(answered by the house)* A house of stories.\n"
    )


def test_json_for_programs_with_the_listeners_own_title() -> None:
    document = json.loads(exported(SESSION.model_copy(update={"title": "Mine"}), STORY, "json"))
    assert document["title"] == "Mine"
    assert (document["world"], document["language"], document["model"]) == ("emerald-city", "de", "demo")
    assert document["turns"][1] == {
        "said": "I knock\n\ntwice.",
        "text": "Second.\n",
        "status": "completed",
        "source": "model",
    }
    assert len(document["turns"]) == 3


def test_a_turn_that_is_being_told_is_there_as_far_as_it_goes() -> None:
    live = LiveTurn(
        turn_id="t1", version=4, number=1, said="I shout.", seed=1, created=0.0, chunks=("An echo",), length=7
    )
    text = exported(SESSION.model_copy(update={"live": live}), STORY, "markdown")
    assert "> I shout.\n\nAn echo\n\n> What is this?" in text
    assert "Second." not in text


def test_a_long_story_comes_in_parts_that_fit_their_frames() -> None:
    story = [turn(number, text="🎭\x01\n" * 4000) for number in range(4)]
    parts = list(export(SESSION, story, title="Long", format="markdown"))
    assert len(parts) > 4
    assert [(part.part, part.parts) for part in parts] == [(i + 1, len(parts)) for i in range(len(parts))]
    assert all(len(part.wire()) <= MAX_FRAME_BYTES for part in parts)
    assert "".join(part.text for part in parts).count("🎭") == 16_000


@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=30), times=st.integers(1, 9000))
def test_pieces_are_the_text_and_fit_a_frame(text: str, times: int) -> None:
    cut = list(pieces(text * times))
    assert "".join(cut) == text * times
    longest = "t" * 64
    assert all(
        len(TurnDelta(turn_id=longest, version=99, offset=10**6, text=part).wire()) <= MAX_FRAME_BYTES
        for part in cut
    )


# ---- snapshots ------------------------------------------------------------------------------------------


def joined(views: list[TurnSnapshot]) -> dict[tuple[str, int], tuple[str, str]]:
    """(said, text) of each version, as a client puts them together."""
    story: dict[tuple[str, int], tuple[str, str]] = {}
    for view in views:
        said, text = story.get((view.turn_id, view.version), ("", ""))
        story[view.turn_id, view.version] = (said + view.said, text + view.text)
    return story


def test_a_snapshot_has_every_version_in_order_and_the_live_one_in_its_place() -> None:
    live = LiveTurn(turn_id="t2", version=2, number=2, said="What?", seed=1, created=0.0)
    (found,) = snapshots(SESSION.model_copy(update={"live": live}), STORY[::-1], [])
    order = [(view.turn_id, view.version) for view in found.turns]
    assert order == [("t0", 1), ("t1", 1), ("t1", 2), ("t1", 3), ("t2", 1), ("t2", 2)]
    assert found.turns[-1].status == "waiting"


def test_a_turn_that_ended_between_two_reads_is_told_once_and_as_it_ended() -> None:
    live = LiveTurn(turn_id="t2", version=1, number=2, said="What?", seed=1, created=0.0)
    (found,) = snapshots(SESSION.model_copy(update={"live": live}), STORY, [])
    assert [view.status for view in found.turns] == ["completed"] * 5


def test_a_turn_longer_than_a_frame_goes_on_in_the_next_part() -> None:
    said, text = "🎭" * 4000, "naïve 🦊\n" * 3000
    story = [turn(0), turn(1, text=text, said=said), turn(2)]
    told = [PrologueLine(seq=number, speaker="keeper", text="x" * 900) for number in range(40)]
    parts = snapshots(SESSION, story, list(told))
    assert [(part.part, part.parts) for part in parts] == [(i + 1, len(parts)) for i in range(len(parts))]
    assert all(len(part.wire()) <= MAX_FRAME_BYTES for part in parts)
    views = joined([view for part in parts for view in part.turns])
    assert views["t1", 1] == (said, text)
    assert views["t2", 1] == ("I knock.", "A door.")
    assert [line.seq for part in parts for line in part.prologue] == list(range(40))
