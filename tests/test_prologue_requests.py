"""Every other action of the light function: what it looks up for the rules, and what it answers by itself."""

import json
from typing import Any

import pytest

from session.events import (
    ErrorFrame,
    ModelStatus,
    Queue,
    SessionDeleted,
    SessionExport,
    SessionList,
    SessionReady,
    SessionRenamed,
    TurnDone,
    TurnRemoved,
    TurnStarted,
)
from session.inputs import Claimed
from session.limits import limits
from session.record import Session
from tests.lobby import Lobby, error, kinds, only


def story(lobby: Lobby) -> SessionReady:
    """The opening scene was told."""
    ready = lobby.hello()
    lobby.tell_opening()
    return ready


def versions(lobby: Lobby) -> list[tuple[str, int, str, str]]:
    turns = lobby.store.turns(lobby.session().session_id)
    return [(turn.turn_id, turn.version, turn.said, turn.source) for turn in turns]


def test_a_turn_is_retried_edited_and_continued_from_what_was_archived() -> None:
    lobby = Lobby()
    story(lobby)
    lobby.send(action="say", turn_id="t", text="I knock.")
    lobby.tell("Nobody ")
    assert only(lobby.send(action="retry", turn_id="t", version=1), ErrorFrame) == []
    lobby.tell("A bell rings. ", finish_reason="length")
    lobby.send(action="continue", turn_id="t", version=2)
    live = lobby.session().live
    assert live is not None
    assert (live.text, live.continued, live.said) == ("A bell rings. ", 14, "I knock.")
    lobby.tell("A dog barks.")
    lobby.send(action="edit", turn_id="t", version=3, text="I go away.")
    lobby.tell("The road is long.")
    assert versions(lobby)[1:] == [
        ("t", 1, "I knock.", "model"),
        ("t", 2, "I knock.", "model"),
        ("t", 3, "I knock.", "model"),
        ("t", 4, "I go away.", "model"),
    ]
    texts = [turn.text for turn in lobby.store.turns(lobby.session().session_id)[1:]]
    assert texts == ["Nobody ", "A bell rings. ", "A bell rings. A dog barks.", "The road is long."]


def test_the_same_frame_twice_makes_one_version() -> None:
    lobby = Lobby()
    story(lobby)
    for _ in range(3):
        frames = lobby.send(action="retry", turn_id="opening", version=1)
        assert only(frames, ErrorFrame) == []
    assert only(frames, TurnStarted)[0].version == 2
    lobby.tell()
    assert only(lobby.send(action="retry", turn_id="opening", version=1), TurnDone)[0].version == 2
    assert len(versions(lobby)) == 2


def test_a_retry_looks_again_when_somebody_wrote_in_between() -> None:
    lobby = Lobby()
    story(lobby)
    lobby.store.conflicts = 3
    assert only(lobby.send(action="retry", turn_id="opening", version=1), ErrorFrame) == []
    assert lobby.session().live is not None


def test_only_a_turn_that_broke_off_goes_on() -> None:
    lobby = Lobby()
    story(lobby)
    refused = error(lobby.send(action="continue", turn_id="opening", version=1))
    assert refused.code == "nothing_to_continue"
    assert error(lobby.send(action="retry", turn_id="t9", version=1)).code == "not_last_turn"


def test_what_the_faq_answered_the_model_takes_when_asked() -> None:
    lobby = Lobby()
    story(lobby)
    lobby.send(action="say", turn_id="q", text="What is this?")
    assert error(lobby.send(action="not_faq", turn_id="opening", version=1)).code == "not_last_turn"
    lobby.faq.asked.clear()
    lobby.send(action="not_faq", turn_id="q", version=1)
    lobby.tell("It is a green city.")
    assert versions(lobby)[1:] == [("q", 1, "What is this?", "faq"), ("q", 2, "What is this?", "model")]
    assert error(lobby.send(action="not_faq", turn_id="q", version=2)).code == "not_from_faq"
    lobby.send(action="edit", turn_id="q", version=2, text="What is this?")
    assert lobby.faq.asked == []  # it answers what is said, nothing else


def test_an_undone_turn_is_gone_and_the_one_before_is_the_last() -> None:
    lobby = Lobby()
    story(lobby)
    for name in ("t1", "t2"):
        lobby.send(action="say", turn_id=name, text="On.")
        lobby.tell()
        lobby.send(action="retry", turn_id=name, version=1)
        lobby.tell()
    for _ in range(2):
        assert lobby.send(action="undo", turn_id="t2") == [TurnRemoved(turn_id="t2")]
    last = lobby.session().last
    assert last is not None
    assert (last.turn_id, last.version) == ("t1", 2)
    assert [(name, version) for name, version, *_ in versions(lobby)] == [
        ("opening", 1),
        ("t1", 1),
        ("t1", 2),
    ]
    lobby.send(action="undo", turn_id="t1")
    assert error(lobby.send(action="undo", turn_id="opening")).code == "not_last_turn"


def test_an_undo_looks_up_the_turn_before_in_the_record_that_it_changes() -> None:
    """The turn ends between the host's look at the session and the rules': its predecessor is found."""
    lobby = Lobby()
    story(lobby)
    lobby.send(action="say", turn_id="t1", text="On.")
    load, looks = lobby.store.load, iter(range(100))

    def late(session_id: str, now: float) -> Session | None:
        if next(looks) == 1:
            lobby.store.load = load  # type: ignore[method-assign]
            lobby.tell()
        return load(session_id, now)

    lobby.store.load = late  # type: ignore[method-assign]
    assert lobby.send(action="undo", turn_id="t1") == [TurnRemoved(turn_id="t1")]
    last = lobby.session().last
    assert last is not None
    assert last.turn_id == "opening"


def test_another_model_tells_from_here_on_and_the_old_ones_queue_is_left() -> None:
    lobby = Lobby(environments=1)
    lobby.runner.capacity.hold("demo", "somebody", 1)
    lobby.hello()
    lobby.send(action="skip")
    assert [waiting.session_id for waiting in lobby.store.houses["demo"].queue]
    lobby.runner.capacity.note_start("large", 50.0)
    lobby.clock.now += limits().resting_s
    frames = lobby.send(action="model", name="large")
    status = only(frames, ModelStatus)[-1]
    assert (status.name, status.state, status.eta_s) == ("large", "starting", 50.0)
    assert len(lobby.invoked) == 1
    assert lobby.store.houses["demo"].queue == ()
    refused = error(lobby.send(action="model", name="gpt"))
    assert (refused.code, "demo, large" in refused.message) == ("unknown_model", True)


def test_a_full_house_tells_the_place_and_a_ping_takes_what_comes_free() -> None:
    lobby = Lobby(environments=1)
    lobby.runner.capacity.hold("demo", "somebody", 1)
    lobby.hello()
    frames = lobby.send(action="skip")
    assert [frame.place for frame in only(frames, Queue)] == [1]
    assert lobby.invoked == []
    assert only(lobby.send(action="ping"), Queue) == []  # nothing has changed
    lobby.runner.capacity.leave("demo", "somebody", 1)
    lobby.send(action="ping")
    assert len(lobby.invoked) == 1
    lobby.tell()
    assert [status for *_, status in versions(lobby)] == ["model"]


def test_who_stops_a_queued_turn_leaves_the_queue_at_once() -> None:
    lobby = Lobby(environments=1)
    story(lobby)
    lobby.runner.capacity.ask("demo", "somebody", 1)
    lobby.send(action="say", turn_id="t", text="I go in.")
    assert [waiting.session_id for waiting in lobby.store.houses["demo"].queue] == [
        lobby.session().session_id
    ]
    done = only(lobby.send(action="stop", turn_id="t"), TurnDone)[0]
    assert done.status == "stopped"
    assert lobby.store.houses["demo"].queue == ()


def test_a_full_queue_ends_the_wait_honestly() -> None:
    lobby = Lobby(environments=1)
    lobby.runner.capacity.hold("demo", "somebody", 1)
    for number in range(limits().queue_places):
        lobby.runner.capacity.ask("demo", f"q{number}", 1)
    lobby.hello()
    frames = lobby.send(action="skip")
    assert only(frames, ModelStatus)[-1].state == "failed"
    assert lobby.session().model.message == "Every place is taken, and so is the queue."


def test_a_story_is_renamed_and_listed_for_its_subject_only() -> None:
    lobby = Lobby()
    first = lobby.hello(subject="ada")
    lobby.hello("c2", subject="bob")
    newest = lobby.hello("c3", subject="ada")
    assert only(lobby.send("c3", action="rename", title="The gate"), SessionRenamed)[0].title == "The gate"
    (listed,) = only(lobby.send("c1", subject="ada", action="list"), SessionList)
    told = [(view.session_id, view.title) for view in listed.sessions]
    assert told == [(newest.session_id, "The gate"), (first.session_id, "")]
    assert error(lobby.send("c1", action="list")).code == "no_subject"
    before = lobby.send("c9", subject="ada", action="list")  # to choose which one to resume
    assert kinds(before) == ["session.list"]
    long = error(lobby.send("c3", action="rename", title="x" * (limits().title_chars + 1)))
    assert long.code == "text_too_long"


def test_a_list_is_never_longer_than_a_frame() -> None:
    lobby = Lobby()
    for number in range(150):
        lobby.hello(f"c{number}", subject="ada")
        lobby.send(f"c{number}", action="rename", title="🎭" * limits().title_chars)
    (listed,) = only(lobby.send("c1", subject="ada", action="list"), SessionList)
    assert 20 < len(listed.sessions) < 150
    assert len(listed.wire()) <= 32 * 1024


def test_a_story_is_exported_and_nothing_changes() -> None:
    lobby = Lobby()
    story(lobby)
    lobby.send(action="say", turn_id="q", text="What is this?")
    before = lobby.session()
    (markdown,) = only(lobby.send(action="export"), SessionExport)
    assert "> What is this?\n\n*(answered by the house)* A house of stories.\n" in markdown.text
    assert "Once 🦊" in markdown.text
    (document,) = only(lobby.send(action="export", format="json"), SessionExport)
    assert [turn["source"] for turn in json.loads(document.text)["turns"]] == ["model", "faq"]
    assert lobby.session() == before


def test_a_deleted_story_is_gone_and_stays_gone() -> None:
    lobby = Lobby()
    ready = story(lobby)
    lobby.send(action="say", turn_id="t", text="I go in.")
    epoch = lobby.session().seat.epoch
    lobby.runner.apply(ready.session_id, Claimed(epoch=epoch, holder="r"))
    assert lobby.send(action="delete") == [SessionDeleted(session_id=ready.session_id)]
    assert (lobby.store.heads, lobby.store.archived) == ({}, {})
    claim: dict[str, Any] = {
        "action": "hello",
        "v": 1,
        "session_id": ready.session_id,
        "resume_key": ready.resume_key,
    }
    assert error(lobby.send("c2", **claim)).code == "unknown_session"
    assert error(lobby.send(action="say", turn_id="t", text="I go in.")).code == "no_session"
    assert kinds(lobby.send(action="ping")) == ["pong"]
    assert not lobby.hello().resumed


def test_a_repeated_delete_is_answered_as_the_first_one_until_the_connection_has_another_story() -> None:
    lobby = Lobby()
    ready = story(lobby)
    lobby.poster.refusing = True
    lobby.send(action="delete")
    lobby.poster.refusing = False
    for _ in range(2):
        assert lobby.send(action="delete") == [SessionDeleted(session_id=ready.session_id)]
    again = lobby.hello()
    assert lobby.send(action="delete") == [SessionDeleted(session_id=again.session_id)]
    assert error(lobby.send("c2", action="delete")).code == "no_session"


def test_an_erasure_that_was_cut_short_is_ended_by_the_next_frame() -> None:
    lobby = Lobby()
    ready = story(lobby)
    erase = lobby.store.erase

    def broken(session: object) -> None:
        raise ConnectionError("the environment ends here")

    lobby.store.erase = broken  # type: ignore[method-assign]
    assert error(lobby.send(action="delete")).code == "internal"
    assert lobby.session().deleted
    assert lobby.session().dialogue.answers == {}
    lobby.store.erase = erase  # type: ignore[method-assign]
    assert error(lobby.send(action="say", turn_id="t", text="x")).code == "unknown_session"
    assert lobby.store.heads == {}  # whatever comes ends what was begun
    assert lobby.send(action="delete") == [SessionDeleted(session_id=ready.session_id)]
    assert lobby.store.heads == {}


def test_hello_on_a_connection_whose_story_is_being_deleted_begins_a_new_one() -> None:
    lobby = Lobby()
    ready = story(lobby)

    def broken(session: object) -> None:
        raise ConnectionError("the environment ends here")

    erase, lobby.store.erase = lobby.store.erase, broken  # type: ignore[method-assign]
    lobby.send(action="delete")
    lobby.store.erase = erase  # type: ignore[method-assign]
    again = lobby.hello()
    assert again.session_id != ready.session_id
    assert again.resume_key is not None


def test_what_the_faq_saves_is_told_once_the_model_has_shown_what_a_reply_takes() -> None:
    lobby = Lobby()
    lobby.hello()
    early = only(lobby.send(action="say", turn_id="q0", text="What is this?"), TurnDone)[0]
    assert early.saved is None
    lobby.tell_opening()  # 40 s
    lobby.faq.takes_s = 0.25
    first = only(lobby.send(action="say", turn_id="q1", text="What is this?"), TurnDone)[0]
    assert first.saved is not None
    assert first.saved.seconds == pytest.approx(39.75)
    assert first.saved.cost_usd > 0
    second = only(lobby.send(action="say", turn_id="q2", text="What is this?"), TurnDone)[0]
    assert second.saved is not None
    assert second.saved.seconds == pytest.approx(39.5)
    assert lobby.session().saved.seconds == pytest.approx(39.75 + 39.5)


def test_a_long_text_is_no_question_about_the_house() -> None:
    lobby = Lobby()
    story(lobby)
    lobby.faq.asked.clear()
    lobby.send(action="say", turn_id="t", text="x" * (limits().faq_chars + 1))
    assert lobby.faq.asked == []
