"""The FAQ in a language of which nothing is known: only a phrasing itself is answered."""

from pathlib import Path

import pytest

from prologue.faq.index import decoys
from prologue.faq.match import Matcher
from prologue.faq.reading import Words
from prologue.faq.spelling import MOST, Spelling, slips
from prologue.world import WORLDS, load_world

ENGLISH = load_world(WORLDS / "emerald-city")
COST = next(entry for entry in ENGLISH.faq if entry.id == "cost")
GERMAN = ENGLISH.model_copy(
    update={
        "language": "de",
        "faq": (
            COST.model_copy(
                update={
                    "phrasings": ("Was kostet das?", "Muss ich etwas bezahlen?", "Fühlt es sich frei an?")
                }
            ),
        ),
    }
)


@pytest.mark.parametrize(
    ("text", "answered"),
    [
        ("Was kostet das?", True),
        ("  was KOSTET das ", True),
        ("Muss ich, etwas bezahlen", True),
        ("Fu\u0308hlt es sich frei an?", True),  # the same letter in two code points
        ("Was kostet das nicht?", False),
        ("Was kostet das Boot?", False),
        ("Muss ich nichts bezahlen?", False),
        ("What does it cost?", False),
        ("", False),
    ],
)
def test_only_a_phrasing_itself_is_answered(tmp_path: Path, text: str, answered: bool) -> None:
    match = Matcher.load(tmp_path, GERMAN).match(text)  # needs no embedder
    assert (match is not None) == answered
    assert match is None or (match.entry_id, match.score) == ("cost", 1.0)


def test_a_language_that_nothing_is_known_of() -> None:
    assert Words.load("de") is None
    assert decoys("de") == []


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("do u need an acount", "do you need an account"),
        ("my anwser", "my answer"),
        ("how 2 stop", "how to stop"),
        ("whats the prise", "what is the prise"),  # "prise" is a word
        ("an eight-year-old", "an child"),
        ("wether", "wether"),  # two words are one slip away
        ("x" * 100_000, "x" * 100_000),
    ],
)
def test_spelling(text: str, plain: str) -> None:
    meant = {"account", "answer", "price", "whether", "weather"}
    spelling = Spelling(
        {"u": "you", "whats": "what is"}, meant, {"prise", "need", "stop", "eight"}.__contains__
    )
    assert spelling(text) == plain


def test_slips() -> None:
    assert {"form", "fro", "from", "rom", "fromm", "fram"} <= slips("from") | slips("form")
    assert len(slips("x" * MOST)) < 2000
