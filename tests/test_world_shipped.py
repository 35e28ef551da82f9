"""The worlds that come with Curtain, in each of their languages: that they are whole, and good to read."""

import re
from itertools import chain

import pytest

from prologue.world import WORLDS, World, languages, load_languages, titles

SHIPPED = sorted(path.parent.name for path in WORLDS.glob("*/world.yaml"))
EDITIONS = {
    f"{name}/{language}": world
    for name in SHIPPED
    for language, world in load_languages(WORLDS / name).items()
}
every_edition = pytest.mark.parametrize("world", EDITIONS.values(), ids=EDITIONS)
TIME = {  # a countdown that counts time would promise something
    "en": r"\b(seconds?|minutes?|soon|almost)\b|\d",
    "de": r"\b(Sekunden?|Minuten?|bald|fast|gleich)\b|\d",
}


def test_there_are_two_worlds_in_two_languages() -> None:
    assert SHIPPED == ["emerald-city", "hollow-skerry"]
    for name in SHIPPED:
        assert languages(WORLDS / name) == ("en", "de")
        assert titles(WORLDS / name) == {
            language: EDITIONS[f"{name}/{language}"].title for language in ("en", "de")
        }


@every_edition
def test_it_has_enough_of_everything(world: World) -> None:
    assert len(world.opening) >= 6
    assert len(world.questions) >= 5
    assert len(world.countdown) >= 14
    assert len(world.lulls) >= 8
    assert len(world.faq) >= 30
    assert min(len(entry.phrasings) for entry in world.faq) >= 5
    assert len(world.suggestions) >= 3
    assert world.wake == "interaction"


@every_edition
def test_nothing_is_said_twice(world: World) -> None:
    replies = chain.from_iterable(
        [*(choice.reply for choice in question.choices), question.free_reply, question.skip_reply]
        for question in world.questions
    )
    cues = (world.ready, world.ready_early, world.failed, world.retrying, world.failed_again)
    lines = [line.text for line in (*world.opening, *cues)]
    pieces = [piece.text for piece in (*world.countdown, *world.lulls)]
    texts = [*replies, *lines, *pieces, *(entry.answer for entry in world.faq)]
    assert all(texts)
    assert len(set(texts)) == len(texts)


@every_edition
def test_what_is_told_meanwhile_ends_on_its_own_and_counts_no_time(world: World) -> None:
    for piece in (*world.countdown, *world.lulls):
        assert piece.text[-1] in '.!?"“'
        assert not re.search(TIME[world.language], piece.text)


@every_edition
def test_lulls_are_short(world: World) -> None:
    assert max(len(lull.text) for lull in world.lulls) <= 130


def contrast(one: str, other: str) -> float:
    """WCAG 2.2 contrast ratio of two `#rrggbb` colours."""

    def luminance(colour: str) -> float:
        parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
        red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@every_edition
def test_its_colours_can_be_read(world: World) -> None:
    theme = world.theme
    for behind in (theme.background, theme.surface):
        assert min(contrast(behind, colour) for colour in (theme.text, theme.muted, theme.accent)) >= 4.5


@pytest.mark.parametrize("name", SHIPPED)
def test_nothing_is_left_untranslated(name: str) -> None:
    english, german = EDITIONS[f"{name}/en"], EDITIONS[f"{name}/de"]

    def told(world: World) -> set[str]:
        entries = (phrasing for entry in world.faq for phrasing in entry.phrasings)
        pieces = (piece.text for piece in (*world.countdown, *world.lulls))
        return {line.text for line in world.opening} | set(entries) | set(pieces) | set(world.suggestions)

    assert not told(english) & told(german)
