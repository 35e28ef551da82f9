"""The terminal client: what it shows, what it sends, and what Ctrl+C does, against a scripted house."""

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from rich.console import Console

from local.screen import Screen
from local.story import Story
from session.events import (
    ChoiceView,
    ErrorFrame,
    ModelStatus,
    PrologueLine,
    PrologueQuestion,
    Queue,
    SessionDeleted,
    SessionExport,
    SessionReady,
    SessionSnapshot,
    TurnRemoved,
    WorldView,
)
from session.requests import (
    Answer,
    Continue,
    Delete,
    Edit,
    Export,
    Hello,
    NotFaq,
    Rename,
    Retry,
    Say,
    Skip,
    Stop,
    SwitchModel,
    TurnRequest,
    Undo,
)
from tests.house import REPOSITORY, free_port
from tests.page_frames import delta, done, started
from tests.page_frames import turn as snapshot_turn
from tests.page_stage import PageStage

QUESTION = PrologueQuestion(
    seq=1,
    id="name",
    speaker="gatekeeper",
    text="Your name?",
    choices=[ChoiceView(id="wren", label="Wren")],
    free_text=True,
    placeholder="or any name",
)
READY = SessionReady(session_id="s", resume_key="k", world="w", model="demo", models=["demo"], resumed=False)


class Terminal:
    """The chat in a process of its own, its keyboard and its screen."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.screen = b""
        assert process.stdin is not None
        self._keyboard = process.stdin
        assert process.stdout is not None
        self._output = process.stdout
        os.set_blocking(self._output.fileno(), False)

    def type(self, text: str) -> None:
        self._keyboard.write(text.encode())
        self._keyboard.flush()

    def shows(self, text: str) -> None:
        give_up = time.monotonic() + 30
        while text.encode() not in self.screen:
            self.screen += self._output.read() or b""
            assert time.monotonic() < give_up, self.screen.decode()
            time.sleep(0.02)

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)


@contextmanager
def chatting(url: str, *options: str) -> Iterator[Terminal]:
    process = subprocess.Popen(
        [sys.executable, "-m", "local.chat", url, *options],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    with process:
        try:
            yield Terminal(process)
        finally:
            process.kill()


@pytest.fixture
def stage() -> Iterator[PageStage]:
    with PageStage() as running:
        yield running


def greet(stage: PageStage) -> None:
    stage.enter()
    stage.expect(Hello)
    stage.tell(READY, PrologueLine(seq=0, speaker="gatekeeper", text="Who goes there?"), QUESTION)


def test_numbers_and_words_answer_and_slashes_command(stage: PageStage) -> None:
    with chatting(stage.websocket) as terminal:
        greet(stage)
        terminal.shows("Your name?")
        terminal.type("1\n")
        assert stage.expect(Answer).choice == "wren"
        terminal.type("Ada Lovelace\n")
        assert stage.expect(Answer).text == "Ada Lovelace"
        terminal.type("What is this?\n")
        assert stage.expect(Say).text == "What is this?"
        terminal.type("/skip\n")
        assert stage.expect(Skip)
        terminal.type("x" * 100_000 + "\n")
        terminal.shows("at most 32,768 bytes")
        terminal.type("/quit\n")
        assert terminal.process.wait(timeout=10) == 0


def test_who_types_before_the_house_is_reached_is_heard(stage: PageStage) -> None:
    with chatting(stage.websocket) as terminal:
        terminal.type("/skip\n")
        greet(stage)
        assert stage.expect(Skip)
        terminal.type("/quit\n")
        assert terminal.process.wait(timeout=10) == 0


def test_ctrl_c_stops_the_reply_and_a_second_one_leaves(stage: PageStage) -> None:
    with chatting(stage.websocket) as terminal:
        greet(stage)
        terminal.shows("Your name?")
        terminal.type("Is anybody there?\n")
        turn = stage.expect(Say).turn_id
        terminal.interrupt()  # the turn still waits for the model
        assert stage.expect(Stop).turn_id == turn
        stage.tell(started(turn), done(turn, 0, status="stopped", finish_reason="stopped"))
        terminal.shows("stopped")
        terminal.interrupt()
        assert terminal.process.wait(timeout=10) == 0


def tell(stage: PageStage, turn: str, text: str, version: int = 1) -> None:
    stage.tell(started(turn, version), delta(turn, 0, text, version), done(turn, len(text), version=version))


def test_the_last_turn_is_told_again_changed_and_undone(stage: PageStage) -> None:
    with chatting(stage.websocket) as terminal:
        greet(stage)
        terminal.shows("Your name?")
        terminal.type("/retry\n")
        terminal.shows("There is no finished turn")
        terminal.type("Is anybody there?\n")
        turn = stage.expect(Say).turn_id
        tell(stage, turn, "No 🦊.")
        terminal.shows("No 🦊.")
        wishes: list[tuple[str, type[TurnRequest]]] = [
            ("/retry", Retry),
            ("/edit Who?", Edit),
            ("/continue", Continue),
            ("/notfaq", NotFaq),
        ]
        for version, (typed, kind) in enumerate(wishes, 1):
            terminal.type(f"{typed}\n")
            frame = stage.expect(kind)
            assert (frame.turn_id, frame.version) == (turn, version)
            tell(stage, turn, f"Reply {version}.", version + 1)
            terminal.shows(f"version {version + 1}:\nReply {version}.")
        terminal.type("/undo\n")
        assert stage.expect(Undo).turn_id == turn
        stage.tell(TurnRemoved(turn_id=turn))
        terminal.shows("That turn is undone.")


def test_stories_are_named_copied_changed_and_deleted(stage: PageStage, tmp_path: Path) -> None:
    with chatting(stage.websocket, "--world", "w", "--language", "de", "--model", "demo") as terminal:
        stage.enter()
        hello = stage.expect(Hello)
        assert (hello.world, hello.language, hello.model) == ("w", "de", "demo")
        worlds = [WorldView(name="harbour", language="en", title="The Harbour")]
        ready = READY.model_copy(update={"worlds": worlds})
        stage.tell(ready, ModelStatus(name="demo", state="full"), Queue(place=2, eta_s=40))
        terminal.shows("The house is full: place 2, about 40 s")
        terminal.type("/rename The tin fox\n")
        assert stage.expect(Rename).title == "The tin fox"
        terminal.type("/model big\n")
        assert stage.expect(SwitchModel).name == "big"
        copy = tmp_path / "a copy.json"
        terminal.type(f"/export json {copy}\n")
        assert stage.expect(Export).format == "json"
        stage.tell(SessionExport(format="json", text="🦊", part=1, parts=2))
        stage.tell(SessionExport(format="json", text="!", part=2, parts=2))
        terminal.shows(f"Written to {copy}")
        assert copy.read_text(encoding="utf-8") == "🦊!"

        terminal.type("/world harbour de\n")
        terminal.shows("There is no world 'harbour de' here")
        terminal.type("/world harbour en\n")
        stage.enter()
        hello = stage.expect(Hello)
        assert (hello.session_id, hello.world, hello.language) == (None, "harbour", "en")
        stage.tell(READY.model_copy(update={"session_id": "s2", "resume_key": "k2", "world": "harbour"}))
        terminal.shows("harbour · en · demo")
        terminal.type("/stories\n")
        terminal.shows("2  harbour (here)")
        terminal.type("/open 1\n")
        stage.enter()
        hello = stage.expect(Hello)
        assert (hello.session_id, hello.resume_key) == ("s", "k")
        terminal.type("/delete\n")
        stage.expect(Delete)
        stage.tell(SessionDeleted(session_id="s"))
        terminal.shows("nothing of it is left")
        assert terminal.process.wait(timeout=10) == 0


def test_a_lost_line_is_taken_up_and_nothing_is_told_twice(stage: PageStage) -> None:
    with chatting(stage.websocket) as terminal:
        greet(stage)
        terminal.shows("Your name?")
        terminal.type("Is anybody there?\n")
        turn = stage.expect(Say).turn_id
        stage.tell(started(turn), delta(turn, 0, "The do"))
        terminal.shows("The do")
        stage.drop()
        terminal.shows("The line went dead; trying again.")
        terminal.interrupt()
        stage.enter()
        hello = stage.expect(Hello)
        assert (hello.session_id, hello.resume_key) == ("s", "k")
        told = snapshot_turn(turn, "The door ", said="Is anybody there?", status="running")
        stage.tell(
            READY.model_copy(update={"resumed": True, "resume_key": None}),
            delta(turn, 9, "opens."),
            SessionSnapshot(turns=[told], prologue=[]),
        )
        stop = stage.expect(Stop)  # what was asked for on the dead line
        assert (stop.turn_id, stop.seen) == (turn, 6)
        stage.tell(done(turn, 6, status="stopped", finish_reason="stopped"))
        terminal.shows("stopped")
        assert terminal.screen.decode().count("The do") == 1
        assert "or opens" not in terminal.screen.decode()


def test_an_address_that_is_none_is_said() -> None:
    with chatting("https://d111….cloudfront.net") as terminal:
        terminal.shows("is that what the deploy calls PageUrl?")
        assert terminal.process.wait(timeout=10) == 1


def test_a_house_that_is_not_there_is_said() -> None:
    with chatting(f"ws://127.0.0.1:{free_port()}/prod") as terminal:
        terminal.shows("is `make run` running?")
        assert terminal.process.wait(timeout=10) == 1


@pytest.mark.parametrize("text", ["a :cat: b", "[/foo]", "x\\[/foo]", "[bold]loud"])
def test_what_is_told_is_shown_letter_by_letter(text: str) -> None:
    paper = io.StringIO()
    screen = Screen(Console(file=paper, emoji=False, highlight=False, width=200))
    story = Story()
    for frame in (
        started("t"),
        delta("t", 0, text),
        delta("t", 0, text),  # again: shown once
        PrologueLine(seq=0, speaker="narrator", text=text),
        ErrorFrame(code="internal", message=text, hint=text),
    ):
        story.receive(frame)
        screen.show(frame, story)
    assert paper.getvalue().count(text) == 4
