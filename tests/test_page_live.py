"""The page against the real stage: a listener's whole visit, from the first line to the second reply."""

import os
from pathlib import Path

from playwright.sync_api import Browser, expect

from tests.fakes import emerald_city
from tests.house import REPOSITORY, open_house

pytest_plugins = ["tests.browser"]
PATIENCE = 90_000.0  # milliseconds until the test gives up; never a measurement
# The README's picture is taken here: SCREENSHOT=docs/screenshot.png .venv/bin/python -m pytest THIS_FILE
PICTURE = Path(os.environ.get("SCREENSHOT", REPOSITORY / ".cache" / "screenshots" / "live.png"))


def test_a_listener_plays_the_prologue_and_reads_two_scenes(browser: Browser) -> None:
    with open_house("--cold-start", "8") as house:
        page = browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme="dark")
        page.set_default_timeout(PATIENCE)
        expect.set_options(timeout=PATIENCE)
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        page.goto(house.page)

        name, *choices = emerald_city().questions
        own_words = page.get_by_placeholder(name.placeholder or "")
        own_words.fill("Ada")
        own_words.press("Enter")
        for question in choices:
            page.get_by_role("button", name=question.choices[0].label).click()
        expect(page.get_by_label("Whispers")).not_to_be_empty()
        expect(page.get_by_role("heading", name="The curtain rises")).to_be_visible()

        expect(page.locator(".metrics")).to_have_count(1)
        page.get_by_label("What you say").fill("I open the little green door.")
        page.get_by_role("button", name="Send").click()
        expect(page.locator(".metrics")).to_have_count(2)
        expect(page.locator(".metrics").last).to_contain_text("tok/s")
        assert len(page.locator(".prose").last.inner_text().split()) > 10

        PICTURE.parent.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=PICTURE)
        assert not complaints
        page.close()
