"""The light function: frames in, the session's steps and the right errors out."""

import dataclasses
import json
from typing import Any

import pytest

from prologue.service import PrologueService
from session.events import ErrorFrame, Frame, SessionReady, SessionSnapshot, SessionSuperseded
from session.inputs import Began, Claimed, Finished, Ready, Released
from session.limits import limits
from session.record import Session
from session.runner import InvokeRefused, Runner
from tests.fakes import Clock, MemoryStore, RecordingPoster, emerald_city


@dataclasses.dataclass(frozen=True)
class FaqMatch:
    answer: str


class Faq:
    def match(self, text: str) -> FaqMatch | None:
        return FaqMatch("A house of stories.") if text == "What is this?" else None


class House:
    """The light function with everything around it in memory."""

    def __init__(self) -> None:
        self.clock, self.store, self.poster = Clock(), MemoryStore(), RecordingPoster()
        self.invoked: list[int] = []
        self.refuse = False
        self.runner = Runner(
            store=self.store,
            poster=self.poster,
            worlds=lambda _: emerald_city(),
            clock=self.clock,
            invoke=self._invoke,
        )
        self.service = PrologueService(
            self.runner,
            worlds=("emerald-city",),
            model_name="demo",
            matcher=lambda _: Faq(),  # type: ignore[arg-type, return-value]  # all that is used of it
        )

    def _invoke(self, session: Session, epoch: int) -> None:
        if self.refuse:
            raise InvokeRefused("the function is being made ready")
        self.invoked.append(epoch)

    def send(self, connection_id: str = "c1", **frame: Any) -> list[Frame]:
        self.service.message(connection_id, json.dumps(frame))
        return self.poster.take(connection_id)

    def hello(self, connection_id: str = "c1", **more: Any) -> SessionReady:
        ready = self.send(connection_id, action="hello", v=1, **more)[0]
        assert isinstance(ready, SessionReady)
        return ready

    def session(self) -> Session:
        return next(iter(self.store.heads.values()))

    def tell_opening(self) -> None:
        session_id = self.session().session_id
        epoch = self.session().seat.epoch
        self.runner.apply(session_id, Claimed(epoch=epoch, holder="r"))
        self.runner.apply(session_id, Ready(epoch=epoch, seed=1))
        session = self.runner.apply(session_id, Began(epoch=epoch))
        self.store.append_delta(session, offset=0, text="Once 🦊", seat_expires=9e9)
        done = Finished(epoch=epoch, turn_id="opening", version=1, status="completed", finish_reason="stop")
        session = self.runner.apply(session_id, done)
        self.runner.apply(session_id, Released(epoch=epoch, work_seq=session.work_seq))
        self.poster.take()


def error(frames: list[Frame]) -> ErrorFrame:
    assert len(frames) == 1
    assert isinstance(frames[0], ErrorFrame)
    return frames[0]


def test_hello_makes_a_session_and_tells_the_key_once() -> None:
    house = House()
    ready = house.hello()
    assert not ready.resumed
    assert ready.resume_key is not None
    assert ready.resume_key not in house.session().model_dump_json()


def test_a_session_resumes_with_its_key_and_gets_the_whole_story() -> None:
    house = House()
    ready = house.hello()
    house.send(action="skip")
    house.tell_opening()
    frames = house.send("c2", action="hello", v=1, session_id=ready.session_id, resume_key=ready.resume_key)
    snapshot = next(frame for frame in frames if isinstance(frame, SessionSnapshot))
    assert [(turn.turn_id, turn.text) for turn in snapshot.turns] == [("opening", "Once 🦊")]
    assert snapshot.prologue
    assert house.session().connection_id == "c2"


def test_a_long_story_comes_in_parts_that_fit_their_frames() -> None:
    house = House()
    ready = house.hello()
    for number in range(30):
        house.send(action="say", turn_id=f"t{number}", text="What is this?")
    session_id = house.session().session_id
    turns = house.store.archived[session_id]
    house.store.archived[session_id] = [turn.model_copy(update={"text": "🎭" * 1000}) for turn in turns]
    frames = house.send("c2", action="hello", v=1, session_id=ready.session_id, resume_key=ready.resume_key)
    parts = [frame for frame in frames if isinstance(frame, SessionSnapshot)]
    assert len(parts) > 3
    assert [part.part for part in parts] == list(range(1, len(parts) + 1))
    assert all(len(part.wire()) <= 32 * 1024 for part in parts)
    assert sum(len(part.turns) for part in parts) == 30


@pytest.mark.parametrize("key", ["wrong", ""])
def test_a_wrong_key_and_an_unknown_session_get_the_same_error(key: str) -> None:
    house = House()
    ready = house.hello()
    wrong = error(house.send("c2", action="hello", v=1, session_id=ready.session_id, resume_key=key))
    unknown = error(house.send("c3", action="hello", v=1, session_id="nobody", resume_key="x"))
    assert wrong == unknown
    assert wrong.code == "unknown_session"


def test_hello_twice_on_a_connection_is_the_same_session() -> None:
    house = House()
    first = house.hello()
    again = house.hello()
    assert again.session_id == first.session_id
    assert again.resume_key is None
    assert len(house.store.heads) == 1


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
    assert error(House().send(**frame)).code == code


def test_a_ping_before_hello_is_answered() -> None:
    assert [frame.model_dump()["type"] for frame in House().send(action="ping")] == ["pong"]


def test_an_error_leaves_the_session_as_it_was_and_names_the_request() -> None:
    house = House()
    house.hello()
    before = house.session()
    frame = error(house.send(action="say", turn_id="t1", text="I go in.", request_id="r7"))
    assert (frame.code, frame.request_id) == ("story_not_begun", "r7")
    assert error(house.send(action="answer", question_id="colour", text="red")).code == "unknown_question"
    assert error(house.send(action="answer", question_id="name", choice="nobody")).code == "unknown_choice"
    long = "x" * (limits().answer_chars + 1)
    assert error(house.send(action="answer", question_id="name", text=long)).code == "text_too_long"
    assert error(house.send(action="answer", question_id="name", text=" ")).code == "empty_text"
    assert house.session() == before


def test_a_question_about_the_house_is_answered_without_the_model() -> None:
    house = House()
    house.hello()
    frames = house.send(action="say", turn_id="t1", text="What is this?")
    assert [frame.model_dump()["type"] for frame in frames] == ["turn.started", "turn.delta", "turn.done"]
    assert house.invoked == []


def test_a_superseded_connection_is_told_so_instead_of_obeyed() -> None:
    house = House()
    ready = house.hello()
    house.send("c2", action="hello", v=1, session_id=ready.session_id, resume_key=ready.resume_key)
    frames = house.send("c1", action="skip")
    assert frames == [SessionSuperseded(session_id=ready.session_id)]
    assert house.invoked == []


def test_a_disconnect_is_remembered_however_often_it_comes() -> None:
    house = House()
    house.hello()
    house.service.disconnected("c1")
    assert house.session().connection_id is None
    house.service.disconnected("c1")  # late or twice: harmless


def test_a_connection_given_up_for_lost_is_taken_back_when_it_speaks() -> None:
    house = House()
    house.hello()
    house.poster.gone.add("c1")
    house.send(action="wake")
    assert house.session().connection_id is None
    house.poster.gone.clear()
    assert any(isinstance(frame, SessionSnapshot) for frame in house.send(action="ping"))
    assert house.session().connection_id == "c1"


def test_a_refused_invoke_is_told_at_once() -> None:
    house = House()
    house.hello()
    house.refuse = True
    frames = house.send(action="skip")
    assert house.session().model.state == "failed"
    assert "made ready" in str(frames[-1])


def test_a_conflict_is_tried_again_and_nothing_is_posted_twice() -> None:
    house = House()
    house.hello()
    house.store.conflicts = 3
    frames = house.send(action="answer", question_id="name", text="Ada")
    assert [frame.model_dump()["type"] for frame in frames].count("prologue.question") == 1


def test_the_failure_of_an_invocation_reaches_the_listener() -> None:
    house = House()
    house.hello()
    house.send(action="skip")
    house.service.invoke_failed(house.session().session_id, 1, "All places are taken.")
    assert "All places are taken." in str(house.poster.take("c1"))


def test_posts_that_fail_lose_neither_the_invoke_nor_the_story() -> None:
    house = House()
    house.hello()
    house.poster.refusing = True
    house.send(action="skip")
    assert house.invoked == [1]
    house.poster.refusing = False
    frames = house.send(action="hello", v=1)
    snapshot = next(frame for frame in frames if isinstance(frame, SessionSnapshot))
    assert snapshot.prologue[-1].seq == len(house.session().dialogue.log) - 1
