"""The light function: frames in, the session's steps and the right errors out."""

from typing import Any

import pytest

from session.events import SessionSnapshot, SessionSuperseded
from session.house import House
from session.limits import limits
from session.runner import InvokeRefused
from session.store import StoreBusy
from tests.lobby import Lobby, error, kinds, only


def test_hello_makes_a_session_and_tells_the_key_once() -> None:
    lobby = Lobby()
    ready = lobby.hello()
    assert not ready.resumed
    assert ready.resume_key is not None
    assert ready.resume_key not in lobby.session().model_dump_json()


def test_a_session_resumes_with_its_key_and_gets_the_whole_story() -> None:
    lobby = Lobby()
    ready = lobby.hello()
    lobby.tell_opening()
    frames = lobby.send("c2", action="hello", v=1, session_id=ready.session_id, resume_key=ready.resume_key)
    snapshot = only(frames, SessionSnapshot)[0]
    assert [(turn.turn_id, turn.text) for turn in snapshot.turns] == [("opening", "Once 🦊")]
    assert snapshot.prologue
    assert lobby.session().connection_id == "c2"


def test_a_long_story_comes_in_parts_that_fit_their_frames() -> None:
    lobby = Lobby()
    ready = lobby.hello()
    for number in range(30):
        lobby.send(action="say", turn_id=f"t{number}", text="What is this?")
    session_id = lobby.session().session_id
    turns = lobby.store.archived[session_id]
    lobby.store.archived[session_id] = [turn.model_copy(update={"text": "🎭" * 1000}) for turn in turns]
    frames = lobby.send("c2", action="hello", v=1, session_id=ready.session_id, resume_key=ready.resume_key)
    parts = only(frames, SessionSnapshot)
    assert len(parts) > 3
    assert [part.part for part in parts] == list(range(1, len(parts) + 1))
    assert all(len(part.wire()) <= 32 * 1024 for part in parts)
    assert sum(len(part.turns) for part in parts) == 30


@pytest.mark.parametrize("key", ["wrong", ""])
def test_a_wrong_key_and_an_unknown_session_get_the_same_error(key: str) -> None:
    lobby = Lobby()
    ready = lobby.hello()
    wrong = error(lobby.send("c2", action="hello", v=1, session_id=ready.session_id, resume_key=key))
    unknown = error(lobby.send("c3", action="hello", v=1, session_id="nobody", resume_key="x"))
    assert wrong == unknown
    assert wrong.code == "unknown_session"


def test_hello_twice_on_a_connection_is_the_same_session() -> None:
    lobby = Lobby()
    first = lobby.hello()
    again = lobby.hello()
    assert again.session_id == first.session_id
    assert again.resumed
    assert len(lobby.store.heads) == 1


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ({"action": "hello", "v": 2}, "unsupported_version"),
        ({"action": "hello", "v": 1, "world": "narnia"}, "unknown_world"),
        ({"action": "hello", "v": 1, "model": "gpt"}, "unknown_model"),
        ({"action": "say", "turn_id": "t", "text": "hi"}, "no_session"),
        ({"action": "stop", "turn_id": "t"}, "no_session"),
        ({"action": "dance"}, "unknown_action"),
    ],
)
def test_before_hello(frame: dict[str, Any], code: str) -> None:
    assert error(Lobby().send(**frame)).code == code


def test_a_ping_before_hello_is_answered() -> None:
    assert kinds(Lobby().send(action="ping")) == ["pong"]


def test_an_error_leaves_the_session_as_it_was_and_names_the_request() -> None:
    lobby = Lobby()
    lobby.hello()
    before = lobby.session()
    frame = error(lobby.send(action="say", turn_id="t1", text="I go in.", request_id="r7"))
    assert (frame.code, frame.request_id) == ("story_not_begun", "r7")
    assert error(lobby.send(action="answer", question_id="colour", text="red")).code == "unknown_question"
    assert error(lobby.send(action="answer", question_id="name", choice="nobody")).code == "unknown_choice"
    long = "x" * (limits().answer_chars + 1)
    assert error(lobby.send(action="answer", question_id="name", text=long)).code == "text_too_long"
    assert error(lobby.send(action="answer", question_id="name", text=" ")).code == "empty_text"
    assert lobby.session() == before


def test_a_question_about_the_house_is_answered_without_the_model() -> None:
    lobby = Lobby()
    lobby.hello()
    frames = lobby.send(action="say", turn_id="t1", text="What is this?")
    assert kinds(frames) == ["turn.started", "turn.delta", "turn.done"]
    assert lobby.invoked == []


def test_a_superseded_connection_is_told_so_instead_of_obeyed() -> None:
    lobby = Lobby()
    ready = lobby.hello()
    lobby.send("c2", action="hello", v=1, session_id=ready.session_id, resume_key=ready.resume_key)
    frames = lobby.send("c1", action="skip")
    assert frames == [SessionSuperseded(session_id=ready.session_id)]
    assert lobby.invoked == []


def test_a_disconnect_is_remembered_however_often_it_comes() -> None:
    lobby = Lobby()
    lobby.hello()
    lobby.service.disconnected("c1")
    assert lobby.session().connection_id is None
    lobby.service.disconnected("c1")  # late or twice: harmless


def test_a_connection_given_up_for_lost_is_taken_back_when_it_speaks() -> None:
    lobby = Lobby()
    lobby.hello()
    lobby.poster.gone.add("c1")
    lobby.send(action="wake")
    assert lobby.session().connection_id is None
    lobby.poster.gone.clear()
    assert any(isinstance(frame, SessionSnapshot) for frame in lobby.send(action="ping"))
    assert lobby.session().connection_id == "c1"


def test_a_refused_invoke_is_told_at_once_and_its_slot_is_free() -> None:
    lobby = Lobby()
    lobby.hello()
    lobby.refusal = InvokeRefused("the function is being made ready")
    frames = lobby.send(action="skip")
    assert lobby.session().model.state == "failed"
    assert "made ready" in str(frames[-1])
    assert lobby.store.houses["demo"].slots == {}


def test_a_passing_refusal_is_tried_again_with_the_next_ping_and_the_turn_waits() -> None:
    lobby = Lobby()
    lobby.hello()
    lobby.refusal = InvokeRefused("Rate Exceeded.", again=True)
    lobby.send(action="skip")
    assert lobby.session().model.state == "starting"
    assert lobby.store.houses["demo"].slots == {}
    lobby.refusal = None
    lobby.send(action="ping")
    assert len(lobby.invoked) == 1
    lobby.tell()
    assert [turn.status for turn in lobby.store.turns(lobby.session().session_id)] == ["completed"]


def test_a_conflict_is_tried_again_and_nothing_is_posted_twice() -> None:
    lobby = Lobby()
    lobby.hello()
    lobby.store.conflicts = 3
    frames = lobby.send(action="answer", question_id="name", text="Ada")
    assert kinds(frames).count("prologue.question") == 1


def test_the_failure_of_an_invocation_reaches_the_listener() -> None:
    lobby = Lobby()
    lobby.hello()
    lobby.send(action="skip")
    lobby.service.invoke_failed(lobby.session().session_id, 1, "The model function failed.")
    assert "The model function failed." in str(lobby.poster.take("c1"))
    assert lobby.store.houses["demo"].slots == {}


def test_an_event_that_grew_too_old_is_sent_again() -> None:
    lobby = Lobby()
    lobby.hello()
    lobby.send(action="skip")
    lobby.service.invoke_failed(lobby.session().session_id, 1, "All places are taken.", again=True)
    assert lobby.session().model.state == "starting"
    lobby.send(action="ping")
    assert len(lobby.invoked) == 2


def test_posts_that_fail_lose_neither_the_invoke_nor_the_story() -> None:
    lobby = Lobby()
    lobby.hello()
    lobby.poster.refusing = True
    lobby.send(action="skip")
    assert lobby.invoked == [1]
    lobby.poster.refusing = False
    frames = lobby.send(action="hello", v=1)
    snapshot = only(frames, SessionSnapshot)[0]
    assert snapshot.prologue[-1].seq == len(lobby.session().dialogue.log) - 1


def test_a_house_that_is_too_busy_to_ask_is_asked_with_the_next_ping() -> None:
    lobby = Lobby()
    lobby.hello()
    commit_house = lobby.store.commit_house

    def busy(house: House) -> House:
        raise StoreBusy("throttled")

    lobby.store.commit_house = busy  # type: ignore[method-assign]
    lobby.send(action="skip")
    assert lobby.session().model.state == "starting"
    assert lobby.invoked == []
    lobby.refusal = InvokeRefused("Rate Exceeded.", again=True)
    lobby.send(action="ping")
    lobby.store.commit_house, lobby.refusal = commit_house, None  # type: ignore[method-assign]
    lobby.send(action="ping")
    assert len(lobby.invoked) == 1
