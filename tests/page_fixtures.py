"""Fixtures of the page's tests: a plugin to be named in `pytest_plugins`, from which nothing is imported."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page

from tests.page_frames import greet
from tests.page_stage import PageStage


@pytest.fixture
def stage() -> Iterator[PageStage]:
    with PageStage() as stage:
        yield stage


@pytest.fixture
def page(browser: Browser, stage: PageStage) -> Iterator[Page]:
    """The page, connected and greeted. Whatever it writes to the console is a fault."""
    complaints: list[str] = []

    def complain(message: ConsoleMessage) -> None:
        complaints.append(message.text)

    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme="dark")
    page = context.new_page()
    page.set_default_timeout(15_000)
    page.on("console", complain)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.clock.install()
    page.goto(stage.url)
    greet(stage)
    yield page
    context.close()
    assert complaints == []
