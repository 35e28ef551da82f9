"""The page when the line is lost, the story moves, or pieces are missing."""

from playwright.sync_api import Browser, Page, expect

from session.events import ErrorFrame, Frame, Pong, SessionSuperseded, TurnSnapshot
from session.requests import Hello, Ping, Say
from tests.page_frames import (
    OPENING,
    delta,
    done,
    line,
    metrics,
    opened,
    prose,
    ready,
    resume,
    said,
    snapshot,
    started,
    turn,
)
from tests.page_stage import PageStage

pytest_plugins = ["tests.browser", "tests.page_fixtures"]


def test_a_lost_line_is_taken_up_where_it_was(page: Page, stage: PageStage) -> None:
    opened(stage, page)
    turn_id = said(stage, page, "I knock.")
    stage.tell(started(turn_id), delta(turn_id, 0, "The do"))
    expect(prose(page)).to_have_text("The do")
    stage.drop()
    expect(page.locator("#status")).to_contain_text("The line went dead")
    stage.enter()
    resume(
        stage,
        delta(turn_id, 9, "opens."),  # overtakes the snapshot, and waits for it
        snapshot(turn(OPENING, "You stand at the gate."), parts=2),
        snapshot(turn(turn_id, "The door ", said="I knock.", status="running"), part=2, parts=2),
    )
    expect(prose(page)).to_have_text("The door opens.")
    stage.tell(done(turn_id, 15))
    expect(page.get_by_role("status")).to_have_text("Reply complete.")
    expect(page.get_by_role("article")).to_have_count(2)


def test_what_was_said_on_a_dead_line_is_sent_again(page: Page, stage: PageStage) -> None:
    opened(stage, page)
    stage.drop()
    expect(page.locator("#status")).to_contain_text("The line went dead")
    page.get_by_label("What you say").fill("Is anybody there?")
    page.keyboard.press("Enter")
    expect(page.get_by_role("log")).to_contain_text("YouIs anybody there?")
    stage.enter()
    resume(stage, snapshot(turn(OPENING, "You stand at the gate.")))
    assert stage.expect(Say).text == "Is anybody there?"


def test_missing_pieces_are_asked_for(page: Page, stage: PageStage) -> None:
    stage.tell(started(OPENING), delta(OPENING, 0, "The"))
    pieces: list[tuple[Frame, TurnSnapshot]] = [
        (delta(OPENING, 9, "opens"), turn(OPENING, "The door opens", status="running")),  # a gap before it
        (done(OPENING, 15), turn(OPENING, "The door opens.")),  # more than came
        (Pong(seq=5), turn(OPENING, "The door opens.")),  # an entry of the prologue is missing
    ]
    for piece, whole in pieces:
        stage.tell(piece)
        resume(stage, snapshot(whole))
        expect(prose(page)).to_have_text(whole.text)
        expect(metrics(page)).to_have_text("")


def test_a_reload_goes_on_with_the_story(page: Page, stage: PageStage) -> None:
    opened(stage, page)
    page.reload()
    stage.enter()
    resume(
        stage,
        snapshot(turn(OPENING, "You stand at the gate."), turn("t-1", "Knock, knock.", said="I knock.")),
    )
    log = page.get_by_role("log")
    # At once: nothing that was told before is paced again.
    expect(log).to_contain_text(
        "Who goes there?The ClockWho is beside you?Youa tin foxThe GatekeeperDelighted."
    )
    expect(log).to_contain_text("You stand at the gate.YouI knock.Knock, knock.")
    expect(page.locator("#question")).to_be_hidden()


def test_a_forgotten_story_gives_way_to_a_new_one(page: Page, stage: PageStage) -> None:
    opened(stage, page)
    page.reload()
    stage.enter()
    stage.expect(Hello)
    stage.tell(ErrorFrame(code="unknown_session", message="No such session.", hint="Say hello anew."))
    hello = stage.expect(Hello)
    assert (hello.session_id, hello.resume_key) == (None, None)
    stage.tell(ready(), line(0, "Who goes there?"))
    expect(page.get_by_role("alert")).to_contain_text("Your earlier story is no longer kept here.")
    expect(page.get_by_role("log")).to_have_text("The GatekeeperWho goes there?")


def test_a_superseded_page_waits_to_be_called_back(page: Page, stage: PageStage) -> None:
    opened(stage, page)
    stage.tell(SessionSuperseded(session_id="s-1"))
    expect(page.get_by_role("alert")).to_contain_text("This story is now open in another window.")
    page.clock.fast_forward(60_000)
    assert stage.calls == 0
    page.get_by_role("button", name="Bring it back here").click()
    stage.enter()
    resume(stage, snapshot(turn(OPENING, "You stand at the gate.")))
    expect(page.get_by_role("alert")).to_be_hidden()


def test_pings_say_that_the_listener_stays(page: Page, stage: PageStage) -> None:
    expect(page.get_by_role("button", name="Skip the prologue")).to_be_visible()
    page.clock.fast_forward(3_500)
    assert stage.expect(Ping).session_id == "s-1"
    stage.tell(Pong(seq=0))
    opened(stage, page)
    turn_id = said(stage, page, "I knock.")
    page.clock.fast_forward(10_500)
    assert stage.expect(Ping).turn_id == turn_id
    page.clock.fast_forward(25_000)  # and no answer: the line is dead
    stage.enter()
    resume(stage)


def test_a_missing_config_is_explained(browser: Browser, stage: PageStage) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        page.route("**/config.json", lambda route: route.fulfill(status=404))
        page.goto(stage.url)
        expect(page.get_by_role("alert")).to_contain_text("could not read its config.json (status 404)")
