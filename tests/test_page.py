"""The page in a real browser, against a stage whose every frame the test speaks."""

from collections.abc import Callable

from playwright.sync_api import Page, expect

from session.events import (
    ErrorFrame,
    Metrics,
    ModelStatus,
    PrologueDone,
    PrologueFragment,
    Saved,
    TurnStarted,
    TurnSuggestions,
    Usage,
)
from session.requests import Answer, Pause, Say, Skip, Stop, Wake
from tests.page_frames import (
    OPENING,
    delta,
    done,
    line,
    metrics,
    opened,
    prose,
    question,
    said,
    started,
)
from tests.page_stage import PageStage

pytest_plugins = ["tests.browser", "tests.page_fixtures"]


def test_the_prologue_is_told_asked_and_answered(page: Page, stage: PageStage) -> None:
    stage.tell(line(0, "Who goes there?", pause_ms=200), line(1, "Come closer."))
    stage.tell(question(2, "companion", "Who is beside you?"))
    expect(page.get_by_role("heading", level=1)).to_have_text("The Emerald City")
    log = page.get_by_role("log")
    expect(log).to_contain_text("The GatekeeperWho goes there?")
    asked = page.locator("#question")
    expect(asked).to_contain_text("Who is beside you?")
    expect(log).to_contain_text("Come closer.")  # lines come before the question that follows them

    page.get_by_role("button", name="A tin fox").click()
    answer = stage.expect(Answer)
    assert (answer.question_id, answer.choice, answer.text) == ("companion", "fox", None)
    expect(log).to_contain_text("Who is beside you?YouA tin fox")
    expect(asked).to_be_hidden()

    stage.tell(line(3, "Delighted."), question(4, "keepsake", "What is in your pocket?"))
    expect(asked).to_contain_text("What is in your pocket?")
    expect(asked).to_be_focused()  # whoever answers by keyboard goes on from here
    page.get_by_placeholder("or someone else").fill("a 🧭 & <b>string</b>")
    page.keyboard.press("Enter")
    assert stage.expect(Answer).text == "a 🧭 & <b>string</b>"
    expect(log).to_contain_text("a 🧭 & <b>string</b>")  # as text, not as markup

    stage.tell(question(5, "quest", "What do you seek?"))
    page.get_by_role("button", name="Skip this question").click()
    assert stage.expect(Skip).question_id == "quest"
    stage.tell(question(6, "gate", "Which gate?"))
    expect(asked).to_contain_text("Which gate?")
    page.get_by_role("button", name="Skip the prologue").click()
    assert stage.expect(Skip).question_id is None
    stage.tell(PrologueDone(seq=7, answers={}))
    expect(asked).to_be_hidden()
    expect(page.get_by_role("button", name="Skip the prologue")).to_be_hidden()


def test_the_countdown_shows_real_progress(page: Page, stage: PageStage) -> None:
    backstage = page.get_by_label("Behind the curtain", exact=True)
    stage.tell(ModelStatus(name="demo", state="starting"))
    expect(backstage).to_contain_text("The narrator is being called")
    bar = page.get_by_role("progressbar", name="The narrator is being called")
    expect(bar).not_to_have_attribute("value", "0")
    loading = ModelStatus(
        name="demo", state="loading", loaded_bytes=3_000_000, total_bytes=6_000_000, eta_s=4.2
    )
    stage.tell(loading, PrologueFragment(seq=0, text="A lamp is lit.", progress=0.5))
    expect(page.get_by_role("progressbar", name="The narrator is waking")).to_have_attribute("value", "0.5")
    expect(backstage).to_contain_text("3.0 of 6.0 MB read · about 4 s to go")
    expect(backstage.get_by_label("Whispers")).to_contain_text("A lamp is lit.")
    expect(page.locator("#status")).to_contain_text("50 %")

    page.get_by_role("button", name="Pause").click()
    assert stage.expect(Pause).paused is True
    page.get_by_role("button", name="Go on").click()
    assert stage.expect(Pause).paused is False

    stage.tell(ModelStatus(name="demo", state="failed", message="The weights are damaged."))
    expect(backstage).to_contain_text("The weights are damaged.")
    page.get_by_role("button", name="Try again").click()
    stage.expect(Wake)

    stage.tell(ModelStatus(name="demo", state="ready"), line(1, "It is awake!"), started(OPENING))
    expect(backstage).to_be_hidden()
    page.get_by_text("Heard behind the curtain").click()
    expect(page.get_by_role("log")).to_contain_text("A lamp is lit.")


def test_the_opening_scene_streams_with_astral_characters(page: Page, stage: PageStage) -> None:
    log, status = page.get_by_role("log"), page.get_by_role("status")
    expect(log).to_have_attribute("aria-live", "polite")
    stage.tell(started(OPENING), delta(OPENING, 0, "A 🦊 "), delta(OPENING, 4, "and a 🧭"))
    expect(prose(page)).to_have_text("A 🦊 and a 🧭")
    expect(page.get_by_role("heading", name="The curtain rises")).to_be_visible()
    expect(log).to_have_attribute("aria-busy", "true")
    expect(log).to_have_attribute("aria-live", "off")
    expect(status).to_have_text("The narrator is speaking.")

    measured = Metrics(
        cold_start_s=41.3, ttft_s=0.41, decode_tokens_per_s=61.2, total_s=1.92, cost_usd=0.00031
    )
    stage.tell(
        delta(OPENING, 4, "and a 🧭"),  # again
        delta(OPENING, 11, "."),
        done(OPENING, 12, usage=Usage(completion_tokens=92), metrics=measured),
        delta(OPENING, 12, " Too late."),
        TurnSuggestions(turn_id=OPENING, suggestions=["Look around", "Knock"]),
    )
    page.get_by_role("button", name="Knock").click()
    assert stage.expect(Say).text == "Knock"
    expect(prose(page)).to_have_text("")
    expect(page.locator(".prose").first).to_have_text("A 🦊 and a 🧭.")
    expect(page.locator(".metrics").first).to_have_text(
        "TTFT 0.4 s · 92 tokens · 61 tok/s · 1.9 s · $0.0003 on Lambda · cold start 41 s"
    )
    expect(page.get_by_role("button", name="Look around")).to_have_count(0)


def test_stop_freezes_what_was_seen(page: Page, stage: PageStage) -> None:
    opened(stage, page)
    send, stop = page.get_by_role("button", name="Send"), page.get_by_role("button", name="Stop")
    place = send.bounding_box()
    presses: list[Callable[[], None]] = [stop.click, lambda: page.keyboard.press("Escape")]
    for press in presses:
        turn_id = said(stage, page, "I knock.")
        stage.tell(started(turn_id), delta(turn_id, 0, "The door "))
        expect(prose(page)).to_have_text("The door ")
        assert stop.bounding_box() == place
        press()
        stop_frame = stage.expect(Stop)
        assert (stop_frame.turn_id, stop_frame.seen) == (turn_id, 9)
        stage.tell(delta(turn_id, 9, "opens "), delta(turn_id, 15, "slowly"))
        expect(stop).to_be_disabled()
        expect(prose(page)).to_have_text("The door ")
        stage.tell(done(turn_id, 9, status="stopped", finish_reason="stopped"))
        expect(metrics(page)).to_have_text("stopped by you")
        expect(prose(page)).to_have_text("The door ")
        expect(send).to_be_visible()
        expect(page.get_by_role("status")).to_have_text("Reply stopped by you.")


def test_endings_are_told_honestly(page: Page, stage: PageStage) -> None:
    opened(stage, page)
    for status, reason, told in (
        ("failed", "model_failed", "failed"),
        ("incomplete", "deadline", "cut short: the model's time was up"),
        ("incomplete", "lost", "cut short: the model was lost on the way"),
    ):
        turn_id = said(stage, page, "I knock.")
        stage.tell(started(turn_id), delta(turn_id, 0, "The"))
        stage.tell(done(turn_id, 3, status=status, finish_reason=reason))
        expect(metrics(page)).to_have_text(told)


def test_the_house_answers_without_the_model(page: Page, stage: PageStage) -> None:
    stage.tell(question(0, "companion", "Who is beside you?"))
    turn_id = said(stage, page, "Why do I wait?")
    stage.tell(TurnStarted(turn_id=turn_id, version=1, source="faq"), delta(turn_id, 0, "It sleeps."))
    saved = Saved(seconds=12.4, cost_usd=0.0021, energy_wh=0.031)
    stage.tell(done(turn_id, 10, finish_reason="faq", saved=saved))
    reply = page.get_by_role("article")
    expect(reply).to_contain_text(
        "Answered by the house, without waking the model · saved 12 s, $0.0021, 0.031 Wh"
    )
    expect(reply).to_contain_text("It sleeps.")
    expect(page.locator("#question")).to_be_visible()  # it goes on waiting


def test_a_refused_text_goes_back_to_its_writer(page: Page, stage: PageStage) -> None:
    turn_id = said(stage, page, "I open the door.")
    stage.tell(
        ErrorFrame(
            code="story_not_begun",
            message="The story has not begun.",
            hint="Answer the open question, or skip.",
            request_id=turn_id,
        )
    )
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("The story has not begun. Answer the open question, or skip.")
    expect(page.get_by_label("What you say")).to_have_value("I open the door.")
    expect(page.get_by_role("article")).to_have_count(0)
    page.get_by_role("button", name="Dismiss").click()
    expect(alert).to_be_hidden()
    expect(page.get_by_label("What you say")).to_be_focused()


def test_too_long_a_text_is_never_sent(page: Page, stage: PageStage) -> None:
    composer = page.get_by_label("What you say")
    composer.fill("🦊" * 4001)
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("4001 characters long; a turn has at most 4000")
    composer.fill("🦊" * 4000)
    page.keyboard.press("Enter")
    assert stage.expect(Say).text == "🦊" * 4000
    largest = page.evaluate(
        """async () => {
          const { encode } = await import("/js/connection.js");
          return [32768, 32769].map((size) => encode("x".repeat(size - 2)) !== null);
        }"""
    )
    assert largest == [True, False]


def test_small_stages_and_keyboards(page: Page, stage: PageStage) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    stage.tell(*(line(seq, f"Line {seq} of a long night in Oz. " * 4) for seq in range(12)))
    stage.tell(question(12, "companion", "Who is beside you?"))
    asked = page.get_by_text("Who is beside you?", exact=True)
    expect(asked).to_be_in_viewport()  # the page follows what is said
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.mouse.wheel(0, -600)
    expect(asked).not_to_be_in_viewport()
    stage.tell(PrologueFragment(seq=13, text="A lamp is lit.", progress=0.1))
    page.get_by_role("button", name="To the latest words").click()  # but it leaves a reader alone
    expect(asked).to_be_in_viewport()
    page.get_by_role("button", name="A tin fox").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    assert stage.expect(Answer).choice == "cub"


def test_on_a_small_stage_an_answer_is_read_from_its_beginning(page: Page, stage: PageStage) -> None:
    """What is heard behind the curtain, and an open question, have their place below it."""
    page.set_viewport_size({"width": 360, "height": 640})
    stage.tell(*(line(seq, f"Line {seq} of a long night in Oz. " * 4) for seq in range(6)))
    stage.tell(question(6, "companion", "Who is beside you?"))
    turn_id = said(stage, page, "How long do I have to wait?")
    answer = "A small model is awake within seconds. " * 6
    stage.tell(started(turn_id, source="faq"), delta(turn_id, 0, answer), done(turn_id, len(answer)))
    stage.tell(*(PrologueFragment(seq=seq, text="A lamp is lit. " * 9, progress=0.1) for seq in (7, 8, 9)))
    expect(page.locator("#whispers li")).to_have_count(3)
    mine = page.get_by_text("How long do I have to wait?", exact=True).bounding_box()
    valance, dock = page.get_by_role("banner").bounding_box(), page.get_by_role("contentinfo").bounding_box()
    assert mine is not None
    assert valance is not None
    assert dock is not None
    assert valance["y"] + valance["height"] <= mine["y"] < dock["y"]
