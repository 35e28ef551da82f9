"""How connections come by sessions: several hellos, languages, worlds, subjects, limits."""

import json
from typing import Any

import pytest

from session.events import ErrorFrame, PrologueLine, SessionReady, SessionSnapshot, TurnStarted
from session.limits import limits
from session.record import Session
from session.store import Conflict
from tests.lobby import OFFER, Lobby, error, kinds, only


def test_the_greeting_tells_what_can_be_chosen_and_a_resumed_one_too() -> None:
    lobby = Lobby()
    ready = lobby.hello()
    again = lobby.hello("c2", session_id=ready.session_id, resume_key=ready.resume_key)
    for told in (ready, again):
        assert (told.model, told.models, told.worlds) == ("demo", ["demo", "large"], list(OFFER))
    assert ready.resume_key == "token1of32"


def test_the_faq_is_loaded_after_the_first_line_was_posted() -> None:
    lobby = Lobby()
    frames = lobby.send(action="hello", v=1, language="de")
    assert lobby.loaded == [("emerald-city", "de", len(frames))]
    assert only(frames, PrologueLine)


@pytest.mark.parametrize(
    ("asked", "world", "language"),
    [
        ({}, "emerald-city", "en"),
        ({"language": "de"}, "emerald-city", "de"),
        ({"world": "harbour"}, "harbour", "en"),
        ({"world": "emerald-city", "language": "de"}, "emerald-city", "de"),
    ],
)
def test_a_world_is_told_in_the_language_asked_for_or_its_first(
    asked: dict[str, str], world: str, language: str
) -> None:
    lobby = Lobby()
    ready = lobby.hello(**asked)
    assert (ready.world, ready.language) == (world, language)
    assert (lobby.session().world, lobby.session().language) == (world, language)


def test_what_is_not_on_offer_is_refused_with_what_is() -> None:
    lobby = Lobby()
    world = error(lobby.send(action="hello", v=1, world="narnia"))
    assert (world.code, "emerald-city, harbour" in world.message) == ("unknown_world", True)
    language = error(lobby.send(action="hello", v=1, language="fr"))
    assert (language.code, "'fr'; its languages: en, de" in language.message) == ("unknown_world", True)
    model = error(lobby.send(action="hello", v=1, model="gpt"))
    assert (model.code, "demo, large" in model.message) == ("unknown_model", True)
    assert lobby.store.heads == {}


def test_two_hellos_at_the_same_time_make_one_session() -> None:
    """The second one is answered between the first one's look at the connection and its bind."""
    lobby = Lobby()
    commit = lobby.store.commit

    def meanwhile(session: Session, *rest: object) -> Session:
        lobby.store.commit = commit  # type: ignore[method-assign]
        lobby.service.message("c1", json.dumps({"action": "hello", "v": 1}))
        return commit(session)

    lobby.store.commit = meanwhile  # type: ignore[method-assign, assignment]
    frames = lobby.send(action="hello", v=1)
    assert not only(frames, ErrorFrame)
    ready = only(frames, SessionReady)
    assert {told.session_id for told in ready} == {lobby.session().session_id}
    assert sorted(told.resumed for told in ready) == [False, True]
    for number, told in enumerate(ready):  # whichever reaches the client last: its key opens the story
        again = lobby.hello(f"d{number}", session_id=told.session_id, resume_key=told.resume_key)
        assert again.resumed
    lobby.hello("c1")
    assert len(lobby.store.heads) == 1
    assert lobby.store.session_of("c1", lobby.clock.now) == lobby.session().session_id
    assert only(lobby.send(action="ping"), ErrorFrame) == []


def test_a_client_that_missed_its_key_asks_again_and_older_ones_stay_good_for_a_while() -> None:
    lobby = Lobby()
    keys = [lobby.hello().resume_key for _ in range(5)]
    assert len(set(keys)) == 5
    session_id = lobby.session().session_id
    assert all(key is not None and key not in lobby.session().model_dump_json() for key in keys)
    for number, key in enumerate(keys[1:]):
        assert lobby.hello(f"d{number}", session_id=session_id, resume_key=key).resume_key is None
    spent = lobby.send("late", action="hello", v=1, session_id=session_id, resume_key=keys[0])
    assert error(spent).code == "unknown_session"


def test_a_hello_that_broke_off_before_its_connection_was_bound_is_simply_repeated() -> None:
    lobby = Lobby()
    bind = lobby.store.bind

    def broken(*_: object, **__: object) -> None:
        raise ConnectionError("the environment ends here")

    lobby.store.bind = broken  # type: ignore[method-assign]
    assert error(lobby.send(action="hello", v=1)).code == "internal"
    lobby.store.bind = bind  # type: ignore[method-assign]
    ready = lobby.hello()
    assert ready.resume_key is not None
    assert lobby.store.session_of("c1", lobby.clock.now) == ready.session_id


def test_another_session_needs_another_connection() -> None:
    lobby = Lobby()
    first, second = lobby.hello(), lobby.hello("c2")
    frames = lobby.send(action="hello", v=1, session_id=second.session_id, resume_key=second.resume_key)
    assert error(frames).code == "already_greeted"
    assert lobby.store.session_of("c1", lobby.clock.now) == first.session_id


def test_a_connection_that_was_bound_meanwhile_is_not_taken_over() -> None:
    lobby = Lobby()
    ready = lobby.hello("c2")

    def bound(*_: object, **__: object) -> None:
        raise Conflict("c1")

    lobby.store.bind = bound  # type: ignore[method-assign]
    frames = lobby.send(action="hello", v=1, session_id=ready.session_id, resume_key=ready.resume_key)
    assert error(frames).code == "already_greeted"
    assert lobby.session().connection_id == "c2"


# ---- subjects -------------------------------------------------------------------------------------------


def test_a_session_with_a_subject_is_resumed_by_the_same_subject_only() -> None:
    lobby = Lobby()
    ready = lobby.hello(subject="ada")
    assert lobby.session().subject == "ada"
    claim: dict[str, Any] = {
        "action": "hello",
        "v": 1,
        "session_id": ready.session_id,
        "resume_key": ready.resume_key,
    }
    for stranger in (None, "bob"):
        assert error(lobby.send("c2", subject=stranger, **claim)).code == "unknown_session"
    assert only(lobby.send("c2", subject="ada", **claim), SessionSnapshot)


def test_a_session_without_a_subject_is_resumed_by_whoever_has_its_key() -> None:
    lobby = Lobby()
    ready = lobby.hello()
    again = lobby.hello("c2", subject="ada", session_id=ready.session_id, resume_key=ready.resume_key)
    assert again.session_id == ready.session_id


# ---- worlds ---------------------------------------------------------------------------------------------


def test_switching_the_world_begins_a_new_story_and_leaves_the_old_one_to_be_resumed() -> None:
    lobby = Lobby()
    old = lobby.hello()
    lobby.tell_opening()
    frames = lobby.send(action="world", name="harbour")
    new = only(frames, SessionReady)[0]
    assert (new.world, new.resumed, new.resume_key is not None) == ("harbour", False, True)
    assert new.session_id != old.session_id
    assert lobby.store.heads[old.session_id].connection_id is None
    assert lobby.store.session_of("c1", lobby.clock.now) == new.session_id
    back = lobby.hello("c2", session_id=old.session_id, resume_key=old.resume_key)
    assert (back.world, back.resumed) == ("emerald-city", True)


def test_the_same_switch_sent_again_changes_nothing() -> None:
    lobby = Lobby()
    lobby.hello()
    first = only(lobby.send(action="world", name="emerald-city", language="de"), SessionReady)[0]
    again = only(lobby.send(action="world", name="emerald-city", language="de"), SessionReady)[0]
    assert (again.session_id, again.resumed) == (first.session_id, True)
    assert len(lobby.store.heads) == 2


def test_a_story_that_was_begun_can_be_begun_anew_in_the_same_world() -> None:
    lobby = Lobby()
    first = lobby.hello()
    lobby.send(action="answer", question_id="name", text="Ada")
    second = only(lobby.send(action="world", name="emerald-city"), SessionReady)[0]
    assert second.session_id != first.session_id
    assert not second.resumed


def test_a_switch_keeps_the_model_and_an_unknown_world_keeps_the_session() -> None:
    lobby = Lobby()
    ready = lobby.hello(model="large")
    assert error(lobby.send(action="world", name="narnia")).code == "unknown_world"
    assert lobby.session().connection_id == "c1"
    assert only(lobby.send(action="world", name="harbour"), SessionReady)[0].model == "large"
    assert lobby.store.heads[ready.session_id].connection_id is None


# ---- limits ---------------------------------------------------------------------------------------------


def test_an_address_begins_only_so_many_stories_a_day() -> None:
    lobby = Lobby()
    for number in range(limits().address_sessions):
        lobby.hello(f"c{number}", address="192.0.2.1")
    refused = error(lobby.send("late", address="192.0.2.1", action="hello", v=1))
    assert refused.code == "too_many_sessions"
    assert error(lobby.send("c0", address="192.0.2.1", action="world", name="harbour")).code == refused.code
    resumed = lobby.hello("c0", address="192.0.2.1")  # going on is no new story
    assert resumed.resumed
    lobby.hello("late", address="192.0.2.2")
    lobby.clock.now += 86_400
    lobby.hello("tomorrow", address="192.0.2.1")


def test_frames_come_only_so_fast_but_stop_and_ping_always_get_through() -> None:
    lobby = Lobby()
    lobby.hello()
    lobby.tell_opening()
    lobby.send(action="say", turn_id="t1", text="I go in.")

    def burst(**frame: object) -> list[str]:
        lobby.service.message("c1", json.dumps(frame))
        return kinds(lobby.poster.take())

    lobby.clock.now = int(lobby.clock.now) + 10
    for _ in range(limits().frames_per_s):
        assert burst(action="pause") == []
    lobby.service.message("c1", '{"action": "pause"}')
    assert error(lobby.poster.take()).code == "too_many_frames"
    assert burst(action="hello", v=1) == ["error"]
    assert burst(action="ping")[0] == "pong"
    assert "turn.done" in burst(action="stop", turn_id="t1", seen=0)
    lobby.clock.now += 1
    assert burst(action="pause") == []


def test_what_is_said_before_hello_is_not_counted_against_anyone() -> None:
    lobby = Lobby()
    assert all(error(lobby.send(action="pause")).code == "no_session" for _ in range(20))
    assert lobby.store.connections == {}
    assert not only(lobby.poster.take(), TurnStarted)


def test_a_client_that_missed_the_new_story_learns_of_it_by_its_ping() -> None:
    lobby = Lobby()
    old = lobby.hello()
    lobby.poster.refusing = True
    lobby.send(action="world", name="harbour")
    lobby.poster.refusing = False
    told = only(lobby.send(action="ping", session_id=old.session_id), SessionReady)[0]
    assert (told.world, told.resume_key is not None) == ("harbour", True)
    assert kinds(lobby.send(action="ping", session_id=told.session_id))[0] == "pong"
