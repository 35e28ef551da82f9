"""The page's modules that are only logic, and its colours: in a browser, but without a word on the wire."""

from collections.abc import Iterator
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, expect

from session.events import Metrics
from tests.page_stage import PageStage

pytest_plugins = ["tests.browser"]


@pytest.fixture(scope="module")
def page(browser: Browser) -> Iterator[Page]:
    """One page for all: nothing here changes it."""
    with PageStage() as stage, browser.new_context() as context:
        page = context.new_page()
        page.goto(stage.url)
        expect(page.get_by_role("heading", level=1)).to_have_text("The Emerald City")
        yield page


def test_lines_wait_for_their_moment(page: Page) -> None:
    """The pace itself, with a clock that is only a number."""
    told = page.evaluate(
        """async () => {
          const { Prologue } = await import("/js/prologue.js");
          const prologue = new Prologue();
          const due = (now, atOnce) => prologue.due(now, atOnce).map((entry) => entry.seq);
          const add = (seq, pause_ms) => prologue.add({ type: "prologue.line", seq, pause_ms });
          add(0, 900); add(1, 500); add(3, 0);
          const log = [due(100), due(999), prologue.wait(999), due(1000), due(5000), prologue.received];
          add(2, 700);
          prologue.paused = true;
          log.push(due(6000), prologue.wait(6000));
          prologue.paused = false;
          log.push(due(6000), due(6001, true), prologue.wait(6001));
          return log;
        }"""
    )
    assert told == [[0], [], 1, [1], [], 2, [], None, [2], [3], None]


def test_deltas_are_spliced_by_code_points(page: Page) -> None:
    """Each case: deltas as (offset, text) and what becomes of them; null where a snapshot is needed."""
    cases = [
        ([(0, "ab"), (2, "cd")], "abcd"),
        ([(0, "a🦊b"), (3, "c")], "a🦊bc"),
        ([(0, "a🦊b"), (2, "🧭")], "a🦊🧭"),
        ([(0, "a🦊b"), (1, "🦊")], "a🦊b"),
        ([(0, "👩‍🚀"), (3, "!")], "👩‍🚀!"),  # one grapheme, three code points
        ([(0, "e\u0301"), (2, "x")], "e\u0301x"),  # a letter and its accent
        ([(0, "ab"), (3, "d")], None),
        ([(1, "b")], None),
    ]
    for deltas, text in cases:
        spliced = page.evaluate(
            """async (deltas) => {
              const { Turn } = await import("/js/turns.js");
              const turn = new Turn("t");
              turn.start({ version: 1, source: "model" });
              const whole = deltas.map(([offset, text]) => turn.splice({ version: 1, offset, text }));
              return whole.every(Boolean) ? turn.viewed.shown : null;
            }""",
            deltas,
        )
        assert spliced == text, deltas


def test_numbers_are_readable(page: Page) -> None:
    cases = [
        (
            {"ttft_s": 0.0213, "total_s": 0.3, "cost_usd": 0.00001},
            "TTFT 22 ms · 0.3 s · under $0.0001 on Lambda",
        ),
        ({"ttft_s": 61.4, "total_s": 119.8, "cost_usd": 0.0234}, "TTFT 61 s · 2 min 0 s · $0.02 on Lambda"),
        ({"decode_tokens_per_s": 4.06, "cost_usd": 0.0023}, "4.1 tok/s · $0.0023 on Lambda"),
    ]
    for fields, text in cases:
        told = page.evaluate(
            """async (metrics) => (await import("/js/words.js")).metricsText({ metrics })""",
            Metrics.model_validate(fields).model_dump(),
        )
        assert told == text


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_colours_are_told_apart(page: Page, scheme: Literal["dark", "light"]) -> None:
    """WCAG AA: text on what it stands on, by night and by day."""
    page.emulate_media(color_scheme=scheme)
    contrasts = page.evaluate(
        """() => {
          const canvas = Object.assign(document.createElement("canvas"), { width: 1, height: 1 });
          const paint = canvas.getContext("2d", { willReadFrequently: true });
          const probe = document.body.appendChild(document.createElement("i"));
          const luminance = (name) => {
            probe.style.color = `var(--${name})`;
            paint.fillStyle = getComputedStyle(probe).color;
            paint.fillRect(0, 0, 1, 1);
            const [r, g, b] = [...paint.getImageData(0, 0, 1, 1).data].map((value) =>
              value <= 10 ? value / 3294 : ((value / 255 + 0.055) / 1.055) ** 2.4);
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
          };
          const contrast = (a, b) => {
            const [dark, light] = [luminance(a), luminance(b)].sort((x, y) => x - y);
            return (light + 0.05) / (dark + 0.05);
          };
          const pairs = [["on-accent", "accent"]];
          for (const text of ["ink", "soft", "accent", "gold", "warm"])
            for (const ground of ["ground", "card"]) pairs.push([text, ground]);
          return Object.fromEntries(pairs.map((pair) => [pair.join(" on "), contrast(...pair)]));
        }"""
    )
    assert len(contrasts) == 11
    assert {pair: ratio for pair, ratio in contrasts.items() if not ratio >= 4.5} == {}
