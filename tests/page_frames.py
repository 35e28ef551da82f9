"""Frames that the page's tests tell, and short ways to tell and to find them."""

from typing import Literal

from playwright.sync_api import Locator, Page, expect

from session.events import (
    ChoiceView,
    Frame,
    ModelStatus,
    PrologueDone,
    PrologueEntry,
    PrologueLine,
    PrologueQuestion,
    SessionReady,
    SessionSnapshot,
    TurnDelta,
    TurnDone,
    TurnSnapshot,
    TurnStarted,
    WorldView,
)
from session.requests import Hello, Say
from tests.page_stage import PageStage

OPENING = "opening"


WORLDS = [
    WorldView(name="emerald-city", language="en", title="The Emerald City"),
    WorldView(name="harbour", language="de", title="Der Nebelhafen"),
]


def ready(*, resumed: bool = False, **more: object) -> SessionReady:
    """A greeting to story `s-1` with the key `key-1`; `more` sets other fields."""
    fields = {"session_id": "s-1", "world": "emerald-city", "model": "demo", "models": ["demo"]} | more
    key = {} if resumed else {"resume_key": f"key-{str(fields['session_id'])[2:]}"}
    return SessionReady.model_validate({"resumed": resumed, "worlds": WORLDS} | key | fields)


def greet(stage: PageStage) -> None:
    stage.enter()
    hello = stage.expect(Hello)
    assert (hello.v, hello.session_id, hello.resume_key) == (1, None, None)
    stage.tell(ready(), ModelStatus(name="demo", state="cold"))


def resume(stage: PageStage, *frames: Frame) -> None:
    hello = stage.expect(Hello)
    assert (hello.session_id, hello.resume_key) == ("s-1", "key-1")
    stage.tell(ready(resumed=True), *frames)


def line(seq: int, text: str, *, pause_ms: int = 0) -> PrologueLine:
    return PrologueLine(seq=seq, speaker="gatekeeper", text=text, pause_ms=pause_ms)


def question(seq: int, id: str, text: str) -> PrologueQuestion:
    return PrologueQuestion(
        seq=seq,
        id=id,
        speaker="clock",
        text=text,
        choices=[ChoiceView(id="fox", label="A tin fox"), ChoiceView(id="cub", label="A lion cub")],
        free_text=True,
        placeholder="or someone else",
    )


def started(turn_id: str, version: int = 1, source: Literal["model", "faq"] = "model") -> TurnStarted:
    return TurnStarted(turn_id=turn_id, version=version, source=source)


def delta(turn_id: str, offset: int, text: str, version: int = 1) -> TurnDelta:
    return TurnDelta(turn_id=turn_id, version=version, offset=offset, text=text)


def done(turn_id: str, length: int, **more: object) -> TurnDone:
    fields = {"status": "completed", "finish_reason": "stop"} | more
    return TurnDone.model_validate({"turn_id": turn_id, "version": 1, "length": length} | fields)


def turn(turn_id: str, text: str, **more: object) -> TurnSnapshot:
    fields = {"version": 1, "said": "", "status": "completed", "source": "model"} | more
    return TurnSnapshot.model_validate({"turn_id": turn_id, "text": text} | fields)


def snapshot(*turns: TurnSnapshot, part: int = 1, parts: int = 1) -> SessionSnapshot:
    """A part of what was told so far; the prologue is in the first."""
    told: list[PrologueEntry] = [
        line(0, "Who goes there?", pause_ms=5000),
        question(1, "companion", "Who is beside you?"),
        line(2, "Delighted."),
        PrologueDone(seq=3, answers={"companion": "a tin fox"}),
    ]
    return SessionSnapshot(
        turns=list(turns),
        prologue=told if part == 1 else [],
        answered={"companion": "a tin fox"} if part == 1 else {},
        part=part,
        parts=parts,
    )


def opened(stage: PageStage, page: Page, text: str = "You stand at the gate.") -> None:
    """Raises the curtain: the story has begun, and nothing is open."""
    stage.tell(started(OPENING), delta(OPENING, 0, text), done(OPENING, len(text)))
    expect(prose(page)).to_have_text(text)


def said(stage: PageStage, page: Page, text: str) -> str:
    """Says `text` through the composer; returns the turn's id."""
    page.get_by_label("What you say").fill(text)
    page.keyboard.press("Enter")
    frame = stage.expect(Say)
    assert frame.text == text
    return frame.turn_id


def prose(page: Page) -> Locator:
    """The last reply."""
    return page.locator(".prose").last


def metrics(page: Page) -> Locator:
    """What stands under the last reply."""
    return page.locator(".metrics").last
