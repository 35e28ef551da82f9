"""The page's shelf of stories: kept, opened, renamed, copied, deleted; other worlds and models."""

from pathlib import Path

from playwright.sync_api import Page, expect

from session.events import ErrorFrame, SessionDeleted, SessionExport, SessionRenamed
from session.requests import Delete, Export, Hello, Rename, SwitchModel
from tests.page_frames import OPENING, line, opened, prose, ready, resume, snapshot, turn
from tests.page_stage import PageStage

pytest_plugins = ["tests.browser", "tests.page_fixtures"]


def begin_in_the_harbour(page: Page, stage: PageStage) -> None:
    page.get_by_role("button", name="New story").click()
    page.get_by_role("dialog").get_by_role("button", name="Der Nebelhafen").click()
    stage.enter()
    hello = stage.expect(Hello)
    assert (hello.session_id, hello.world, hello.language) == (None, "harbour", "de")
    stage.tell(ready(session_id="s-2", world="harbour", language="de"), line(0, "Wer da?"))
    expect(page.get_by_role("log")).to_have_text("Die LotsinWer da?")


def test_a_new_story_in_another_world_leaves_the_old_one_on_the_shelf(page: Page, stage: PageStage) -> None:
    opened(stage, page)
    page.get_by_role("button", name="New story").click()
    page.get_by_role("button", name="Stay here").click()
    expect(prose(page)).to_have_text("You stand at the gate.")
    begin_in_the_harbour(page, stage)
    expect(page.get_by_role("heading", level=1)).to_have_text("Der Nebelhafen")
    expect(page.get_by_role("log")).to_have_attribute("lang", "de")
    assert "#0b1420" in page.evaluate("document.documentElement.style.cssText")

    page.get_by_role("button", name="Stories").click()
    rows = page.get_by_role("dialog").get_by_role("listitem")
    expect(rows).to_have_text(
        ["Der Nebelhafenopen hereRenameDelete", "The Emerald CitytodayOpenRenameDelete"]
    )
    page.get_by_role("button", name="Open: The Emerald City").click()
    stage.enter()
    resume(stage, snapshot(turn(OPENING, "You stand at the gate.")))
    expect(page.get_by_role("heading", level=1)).to_have_text("The Emerald City")
    expect(prose(page)).to_have_text("You stand at the gate.")
    kept = page.evaluate("[JSON.stringify({ ...sessionStorage }), location.href, document.cookie]")
    assert "key-" not in "".join(kept)  # keys to stories are in localStorage and nowhere else
    assert page.evaluate("localStorage.getItem('curtain.stories')").count("key-") == 2


def test_stories_are_renamed_here_and_elsewhere(page: Page, stage: PageStage) -> None:
    opened(stage, page)
    begin_in_the_harbour(page, stage)
    page.get_by_role("button", name="Stories").click()
    page.get_by_role("button", name="Rename: Der Nebelhafen").click()
    page.get_by_label("A new name for Der Nebelhafen").fill("<i>Nacht</i> am Kai")
    page.keyboard.press("Enter")
    assert stage.expect(Rename).title == "<i>Nacht</i> am Kai"
    stage.tell(SessionRenamed(title="<i>Nacht</i> am Kai"))
    rows = page.get_by_role("dialog").get_by_role("listitem")
    expect(rows.first).to_contain_text("<i>Nacht</i> am KaiDer Nebelhafen · open here")
    expect(page).to_have_title("<i>Nacht</i> am Kai · Curtain")

    page.get_by_role("button", name="Rename: The Emerald City").click()
    page.get_by_label("A new name for The Emerald City").fill("The tin fox")
    page.get_by_role("button", name="Save").click()
    stage.enter()  # on a line of its own
    resume(stage)
    assert stage.expect(Rename).title == "The tin fox"
    stage.tell(SessionRenamed(title="The tin fox"))
    expect(rows.nth(1)).to_contain_text("The tin foxThe Emerald City · today")


def test_deleting_asks_first_and_leaves_nothing(page: Page, stage: PageStage) -> None:
    opened(stage, page)
    begin_in_the_harbour(page, stage)
    page.get_by_role("button", name="Stories").click()
    page.get_by_role("button", name="Delete: The Emerald City").click()
    page.get_by_role("button", name="Keep it").click()
    page.get_by_role("button", name="Delete: The Emerald City").click()
    page.get_by_role("button", name="Delete it").click()
    here = stage.on_stage
    stage.enter()
    resume(stage)
    stage.expect(Delete)
    stage.tell(SessionDeleted(session_id="s-1"))
    rows = page.get_by_role("dialog").get_by_role("listitem")
    expect(rows).to_have_count(1)

    stage.on_stage = here
    page.get_by_role("button", name="Delete: Der Nebelhafen").click()
    page.get_by_role("button", name="Delete it").click()
    stage.expect(Delete)
    stage.tell(SessionDeleted(session_id="s-2"))
    expect(page.get_by_role("dialog")).to_contain_text("There is none yet.")
    assert page.evaluate("localStorage.getItem('curtain.stories')") == "[]"
    page.get_by_role("button", name="Close").click()
    expect(page.get_by_role("alert")).to_contain_text("This story is deleted. Nothing of it is left.")
    page.clock.fast_forward(60_000)
    assert stage.calls == 0  # a new one begins only when the listener says so
    page.get_by_role("button", name="Begin a new story").click()
    stage.enter()
    assert stage.expect(Hello).session_id is None


def test_a_story_that_the_house_forgot_leaves_the_shelf(page: Page, stage: PageStage) -> None:
    opened(stage, page)
    begin_in_the_harbour(page, stage)
    page.get_by_role("button", name="Stories").click()
    page.get_by_role("button", name="Delete: The Emerald City").click()
    page.get_by_role("button", name="Delete it").click()
    stage.enter()
    stage.expect(Hello)
    stage.tell(ErrorFrame(code="unknown_session", message="There is no such session.", hint="Begin anew."))
    expect(page.get_by_role("dialog").get_by_role("listitem")).to_have_count(1)


def test_a_copy_comes_in_parts_and_is_downloaded_whole(page: Page, stage: PageStage) -> None:
    opened(stage, page)
    page.get_by_role("button", name="Stories").click()
    page.get_by_role("button", name="JSON").click()
    assert stage.expect(Export).format == "json"
    with page.expect_download() as waiting:
        stage.tell(
            SessionExport(format="json", text='{"turns": "🦊', part=1, parts=2),
            SessionExport(format="json", text='🧭"}', part=2, parts=2),
        )
    assert waiting.value.suggested_filename == "The-Emerald-City-Curtain.json"
    assert Path(waiting.value.path()).read_text(encoding="utf-8") == '{"turns": "🦊🧭"}'


def test_another_narrator_is_chosen(page: Page, stage: PageStage) -> None:
    page.get_by_role("button", name="Stories").click()
    expect(page.get_by_label("Narrator of this story")).to_be_hidden()  # there is only one
    stage.tell(ready(models=["demo", "llama3.1-8b"]))
    page.get_by_label("Narrator of this story").select_option("llama3.1-8b")
    assert stage.expect(SwitchModel).name == "llama3.1-8b"


def test_a_house_that_turns_visitors_away_says_why(page: Page, stage: PageStage) -> None:
    page.get_by_role("button", name="New story").click()
    page.get_by_role("dialog").get_by_role("button", name="The Emerald City").click()
    stage.enter()
    stage.expect(Hello)
    many = "Too many stories were begun from this address today."
    stage.tell(ErrorFrame(code="too_many_sessions", message=many, hint="-"))
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text(f"{many} Go on with one of yours (under Stories), or come back tomorrow.")
    page.clock.fast_forward(60_000)
    assert stage.calls == 0
    page.get_by_role("button", name="Try again").click()
    stage.enter()
    assert stage.expect(Hello).world == "emerald-city"
