"""The page's last turn: told again, gone on with, changed, undone; its versions; the full house; failures."""

from playwright.sync_api import Page, expect

from session.events import ErrorFrame, ModelStatus, Queue, TurnRemoved, TurnSuggestions
from session.requests import Continue, Edit, NotFaq, Retry, Say, Stop, Undo, Wake
from tests.page_frames import (
    OPENING,
    delta,
    done,
    line,
    metrics,
    opened,
    prose,
    question,
    resume,
    said,
    snapshot,
    started,
    turn,
)
from tests.page_stage import PageStage

pytest_plugins = ["tests.browser", "tests.page_fixtures"]


def told(stage: PageStage, page: Page, text: str, reply: str, **more: object) -> str:
    """A finished turn; returns its id."""
    turn_id = said(stage, page, text)
    stage.tell(started(turn_id), delta(turn_id, 0, reply), done(turn_id, len(reply), **more))
    expect(prose(page)).to_have_text(reply)
    return turn_id


def last_turn(page: Page) -> list[str]:
    """What can be done about it."""
    return page.get_by_role("group", name="The last turn").get_by_role("button").all_inner_texts()


def test_a_turn_is_told_again_and_every_version_can_be_read(page: Page, stage: PageStage) -> None:
    opened(stage, page)
    expect(page.get_by_role("group", name="The last turn")).to_be_visible()
    assert last_turn(page) == ["Tell it again"]  # the opening scene can't be undone, nor was anything said
    turn_id = told(stage, page, "I knock.", "Nobody.")
    assert last_turn(page) == ["Tell it again", "Say something else", "Undo"]
    for version, reply in ((1, "A fox 🦊 opens."), (2, "The wind opens.")):
        page.get_by_role("button", name="Tell it again").click()
        retry = stage.expect(Retry)
        assert (retry.turn_id, retry.version) == (turn_id, version)
        expect(page.get_by_role("group", name="The last turn")).to_be_hidden()
        expect(page.get_by_role("button", name="Stop")).to_be_visible()
        stage.tell(started(turn_id, version + 1), delta(turn_id, 0, reply, version + 1))
        stage.tell(done(turn_id, len(reply), version=version + 1))
        expect(prose(page)).to_have_text(reply)
    pager = page.get_by_role("group", name="Versions")
    expect(pager).to_have_text("‹3/3›")
    pager.get_by_role("button", name="Earlier version").click()
    expect(prose(page)).to_have_text("A fox 🦊 opens.")
    page.keyboard.press("Enter")  # focus has stayed
    expect(prose(page)).to_have_text("Nobody.")
    page.keyboard.press("Enter")
    expect(pager).to_have_text("‹1/3›")
    pager.get_by_role("button", name="Later version").click()
    expect(pager).to_have_text("‹2/3›")


def test_something_else_is_said(page: Page, stage: PageStage) -> None:
    opened(stage, page)
    turn_id = told(stage, page, "I knock.", "Nobody.")
    composer, edit = page.get_by_label("What you say"), page.get_by_role("button", name="Say something else")
    edit.click()
    expect(composer).to_be_focused()
    expect(composer).to_have_value("I knock.")
    expect(page.get_by_text("Instead of I knock.")).to_be_visible()
    page.keyboard.press("Escape")
    expect(composer).to_have_value("")
    edit.click()
    composer.fill("I <b>sing</b>.")
    page.keyboard.press("Enter")
    frame = stage.expect(Edit)
    assert (frame.turn_id, frame.version, frame.text) == (turn_id, 1, "I <b>sing</b>.")
    stage.tell(started(turn_id, 2), delta(turn_id, 0, "Oh!", 2), done(turn_id, 3, version=2))
    reply = page.get_by_role("article").last
    expect(reply).to_contain_text("YouI <b>sing</b>.Oh!")
    reply.get_by_role("button", name="Earlier version").click()
    expect(reply).to_contain_text("YouI knock.Nobody.")


def test_a_turn_that_broke_off_goes_on(page: Page, stage: PageStage) -> None:
    opened(stage, page)
    turn_id = told(stage, page, "I knock.", "The door ", status="incomplete", finish_reason="deadline")
    page.get_by_role("button", name="Go on from there").click()
    assert stage.expect(Continue).version == 1
    expect(prose(page)).to_have_text("The door ")  # what is there stays on show meanwhile
    page.get_by_role("button", name="Stop").click()
    assert stage.expect(Stop).seen == 9
    stage.tell(started(turn_id, 2))
    assert stage.expect(Stop).seen == 9  # the stop had overtaken it
    stage.tell(delta(turn_id, 0, "The door ", 2), delta(turn_id, 9, "opens.", 2))
    stage.tell(done(turn_id, 9, version=2, status="stopped", finish_reason="stopped"))
    expect(metrics(page)).to_have_text("stopped by you")
    expect(prose(page)).to_have_text("The door ")


def test_a_turn_is_undone(page: Page, stage: PageStage) -> None:
    opened(stage, page)
    turn_id = told(stage, page, "I knock.", "Nobody.")
    stage.tell(TurnSuggestions(turn_id=turn_id, suggestions=["Sing"]))
    page.get_by_role("button", name="Undo").click()
    assert stage.expect(Undo).turn_id == turn_id
    stage.tell(TurnRemoved(turn_id=turn_id), delta(turn_id, 0, "a late echo"))
    expect(page.get_by_role("article")).to_have_count(1)
    expect(page.get_by_role("button", name="Sing")).to_have_count(0)
    expect(page.get_by_role("group", name="The last turn")).to_be_visible()
    assert last_turn(page) == ["Tell it again"]


def test_what_was_not_asked_goes_to_the_narrator(page: Page, stage: PageStage) -> None:
    stage.tell(question(0, "companion", "Who is beside you?"))
    turn_id = said(stage, page, "Why do I wait?")
    stage.tell(started(turn_id, source="faq"), delta(turn_id, 0, "It sleeps."), done(turn_id, 10))
    expect(page.get_by_role("group", name="The last turn")).to_be_visible()
    assert last_turn(page) == ["Undo"]  # before the story there is no narrator to ask
    opened(stage, page)
    turn_id = said(stage, page, "Why do I wait?")
    stage.tell(started(turn_id, source="faq"), delta(turn_id, 0, "It sleeps."), done(turn_id, 10))
    expect(prose(page)).to_have_text("It sleeps.")
    page.get_by_role("button", name="That's not what I asked").click()
    assert stage.expect(NotFaq).turn_id == turn_id
    stage.tell(started(turn_id, 2), delta(turn_id, 0, "For the moon.", 2), done(turn_id, 13, version=2))
    reply = page.get_by_role("article").last
    expect(reply).to_have_text("YouWhy do I wait?For the moon.‹2/2›")
    reply.get_by_role("button", name="Earlier version").click()
    expect(reply).to_contain_text("Answered by the house")


def test_a_refused_wish_leaves_the_turn_as_it_was(page: Page, stage: PageStage) -> None:
    opened(stage, page)
    turn_id = told(stage, page, "I knock.", "Nobody.")
    page.get_by_role("button", name="Tell it again").click()
    hint, request_id = "It goes on tomorrow (UTC).", stage.expect(Retry).request_id
    today = ErrorFrame(
        code="too_many_turns_today",
        message="This story has had its turns for today.",
        hint=hint,
        request_id=request_id,
    )
    stage.tell(today)
    expect(page.get_by_role("alert")).to_contain_text(
        "This story has had its turns for today. It goes on tomorrow (UTC)."
    )
    expect(prose(page)).to_have_text("Nobody.")
    page.get_by_role("button", name="Tell it again").click()
    lost = stage.expect(Retry).request_id
    stage.tell(ErrorFrame(code="not_last_turn", message="Not the last turn.", hint="Look.", request_id=lost))
    resume(
        stage,
        snapshot(turn(OPENING, "You stand."), turn(turn_id, "Nobody."), turn("t-2", "Meanwhile.")),
    )
    expect(prose(page)).to_have_text("Meanwhile.")


def test_a_wish_on_a_dead_line_is_sent_again(page: Page, stage: PageStage) -> None:
    opened(stage, page)
    turn_id = told(stage, page, "I knock.", "Nobody.")
    stage.drop()
    expect(page.locator("#status")).to_contain_text("The line went dead")
    page.get_by_role("button", name="Tell it again").click()
    stage.enter()
    resume(stage, snapshot(turn(OPENING, "You stand at the gate."), turn(turn_id, "Nobody.")))
    assert stage.expect(Retry).turn_id == turn_id
    two = [turn(turn_id, text, version=version) for version, text in ((1, "Nobody."), (2, "Ho!"))]
    stage.drop()
    stage.enter()
    resume(stage, snapshot(turn(OPENING, "You stand at the gate."), *two))
    expect(prose(page)).to_have_text("Ho!")
    expect(page.get_by_role("group", name="Versions")).to_have_text("‹2/2›")


def test_the_full_house_tells_the_place_in_the_queue(page: Page, stage: PageStage) -> None:
    stage.tell(line(0, "Who goes there?"), ModelStatus(name="demo", state="full"), Queue(place=2, eta_s=40.4))
    backstage = page.get_by_label("Behind the curtain", exact=True)
    expect(backstage).to_contain_text("The house is full — place 2, about 40 s")
    expect(page.locator("#status")).to_contain_text("The house is full — place 2, about 40 s")
    expect(page.get_by_role("status").first).to_have_text("The house is full. Your place in the queue: 2.")
    expect(page.get_by_role("progressbar")).to_have_count(0)
    stage.tell(Queue(place=1))
    expect(backstage).to_contain_text("The house is full — place 1")
    stage.tell(ModelStatus(name="demo", state="starting", eta_s=48.6))
    expect(backstage).to_contain_text("about 49 s to go, by earlier evenings")


def test_a_narrator_who_cannot_be_woken_is_told_in_plain_words(page: Page, stage: PageStage) -> None:
    failed = ModelStatus(name="demo", state="failed", message="The model did not come within five minutes.")
    stage.tell(question(0, "companion", "Who is beside you?"), failed)
    backstage = page.get_by_label("Behind the curtain", exact=True)
    expect(backstage).to_contain_text("The narrator could not be woken")
    expect(backstage).to_contain_text("within five minutes. What you answered is kept.")
    turn_id = said(stage, page, "Why do I wait?")
    stage.tell(started(turn_id, source="faq"), delta(turn_id, 0, "It sleeps."), done(turn_id, 10))
    expect(prose(page)).to_have_text("It sleeps.")
    page.get_by_label("What you say").fill("I knock.")
    page.keyboard.press("Enter")
    refused = stage.expect(Say).request_id
    stage.tell(
        ErrorFrame(code="model_failed", message="The model could not be woken.", hint="-", request_id=refused)
    )
    expect(page.get_by_role("alert")).to_contain_text("Press Try again, and say it once more.")
    page.get_by_role("button", name="Try again").click()
    stage.expect(Wake)


def test_a_narrator_who_has_talked_enough_for_today_is_told_before_the_story(
    page: Page, stage: PageStage
) -> None:
    reason = "The narrator has talked enough for today; back at 00:00 UTC."
    stage.tell(line(0, "Who goes there?"), ModelStatus(name="demo", state="starting"))
    stage.tell(ModelStatus(name="demo", state="resting", message=reason))
    backstage = page.get_by_label("Behind the curtain", exact=True)
    expect(backstage).to_be_visible()
    expect(backstage).to_contain_text("The narrator is resting")
    expect(backstage).to_contain_text(
        f"{reason} What you answered is kept. Questions about Curtain are answered"
    )
    expect(page.get_by_role("status").first).to_have_text(reason)
    expect(page.get_by_role("progressbar")).to_have_count(0)
    expect(page.get_by_role("button", name="Try again")).to_have_count(0)
    stage.tell(ModelStatus(name="demo", state="resting"))  # awake a moment ago: nothing to be told
    expect(page.locator("#status")).to_contain_text("The narrator waits for you")
    expect(backstage).to_be_hidden()


def test_a_turn_for_which_nobody_is_woken_any_more_says_so(page: Page, stage: PageStage) -> None:
    opened(stage, page)
    turn_id = said(stage, page, "I knock.")
    message = "The narrator has talked enough for today; back at 00:00 UTC."
    stage.tell(
        ErrorFrame(code="daily_cap", message=message, hint="The story goes on then."),
        done(turn_id, 0, status="failed", finish_reason="daily_cap"),
        ModelStatus(name="demo", state="resting", message=message),
    )
    expect(metrics(page)).to_have_text("the narrator had talked enough for today")
    expect(page.get_by_role("alert")).to_contain_text(f"{message} The story goes on then.")
    expect(page.get_by_label("Behind the curtain", exact=True)).to_be_hidden()
