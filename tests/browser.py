"""A headless browser for the page's tests: the system's Chromium where there is one, else Playwright's."""

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Error, expect, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = [
    "--no-sandbox",  # containers run as root, without user namespaces
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_PATIENCE_MS = 15_000  # for what must come; a busy machine is no fault
MISSING = (
    "There is no browser for the page's tests. Install one: `apt-get install chromium` on Debian, or "
    "`.venv/bin/python -m playwright install chromium` elsewhere."
)


# One per module: while it is open, Playwright keeps an event loop running in the main thread.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=_PATIENCE_MS)
    system = next(filter(None, map(shutil.which, NAMES)), None)
    with sync_playwright() as playwright:
        try:
            launched = playwright.chromium.launch(executable_path=system, args=ARGUMENTS)
        except Error as error:
            pytest.fail(MISSING if system is None else f"{system} does not start: {error}", pytrace=False)
        yield launched
        launched.close()
