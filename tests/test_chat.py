"""The terminal client: what it shows, what it sends, and what Ctrl+C does, against a scripted house."""

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from rich.console import Console

from local.chat import Chat
from local.client import Client
from session.events import (
    ChoiceView,
    ErrorFrame,
    PrologueLine,
    PrologueQuestion,
    SessionReady,
    TurnDelta,
    TurnDone,
    TurnStarted,
)
from session.requests import Answer, Hello, Say, Skip, Stop
from tests.house import REPOSITORY, free_port
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
def chatting(url: str) -> Iterator[Terminal]:
    process = subprocess.Popen(
        [sys.executable, "-m", "local.chat", url],
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


def test_ctrl_c_stops_the_reply_and_a_second_one_leaves(stage: PageStage) -> None:
    with chatting(stage.websocket) as terminal:
        greet(stage)
        terminal.shows("Your name?")
        terminal.type("Is anybody there?\n")
        turn = stage.expect(Say).turn_id
        terminal.interrupt()  # the turn still waits for the model
        assert stage.expect(Stop).turn_id == turn
        stage.tell(TurnStarted(turn_id=turn, version=1, source="model"))
        stage.tell(TurnDone(turn_id=turn, version=1, status="stopped", finish_reason="stopped", length=0))
        terminal.shows("stopped")
        terminal.interrupt()
        assert terminal.process.wait(timeout=10) == 0


def test_a_house_that_hangs_up_or_is_not_there_is_said(stage: PageStage) -> None:
    with chatting(stage.websocket) as terminal:
        greet(stage)
        terminal.shows("Your name?")
        stage.drop()
        terminal.shows("the house closed the line")
        assert terminal.process.wait(timeout=10) == 1
    with chatting(f"ws://127.0.0.1:{free_port()}/prod") as terminal:
        terminal.shows("is `make run` running?")
        assert terminal.process.wait(timeout=10) == 1


@pytest.mark.parametrize("text", ["a :cat: b", "[/foo]", "x\\[/foo]", "[bold]loud"])
def test_what_is_told_is_shown_letter_by_letter(text: str) -> None:
    screen = io.StringIO()
    chat = Chat(Client("ws://nowhere"), Console(file=screen, emoji=False, highlight=False, width=200))
    show: Callable[..., None] = chat.show
    show(TurnDelta(turn_id="t", version=1, offset=0, text=text))
    show(PrologueLine(seq=0, speaker="narrator", text=text))
    show(ErrorFrame(code="internal", message=text, hint=text))
    assert screen.getvalue().count(text) == 4
