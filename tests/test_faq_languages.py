"""The FAQ in German, and in a language that nothing is known of: only a phrasing itself is answered there."""

from pathlib import Path

import pytest
import yaml

from local.supplies import FAQ
from prologue.faq.guard import Guard
from prologue.faq.index import decoys, ensure_index, phrasings
from prologue.faq.match import Matcher
from prologue.faq.reading import REQUEST, TOLD, WHETHER, Reader, Words, stem
from prologue.faq.spelling import MOST, Spelling, slips
from prologue.world import WORLDS, load_languages, load_world

ENGLISH = load_world(WORLDS / "emerald-city")
COST = next(entry for entry in ENGLISH.faq if entry.id == "cost")
UNKNOWN = ENGLISH.model_copy(
    update={
        "language": "fr",
        "faq": (
            COST.model_copy(
                update={"phrasings": ("Combien ça coûte ?", "C'est payant ?", "Est-ce que c'est gratuit ?")}
            ),
        ),
    }
)
GERMAN = load_languages(WORLDS / "emerald-city")["de"]
WORDS = Words.load("de")
assert WORDS
READER = Reader(WORDS)
GUARD = Guard(WORDS, GERMAN.faq)
LABELS = yaml.safe_load((Path(__file__).parent / "faq" / "german.yaml").read_text("utf-8"))
# Reached when its thresholds were chosen on these very texts: it may not get worse.
LEAST_RECALL, MOST_FALSE = 0.80, 0


@pytest.mark.parametrize(
    ("text", "answered"),
    [
        ("Combien ça coûte ?", True),
        ("  combien ÇA coûte ", True),
        ("Est-ce que, c'est gratuit", True),
        ("Combien c\u0327a cou\u0302te", True),  # the same letters in two code points each
        ("Combien ça ne coûte pas ?", False),
        ("Combien coûte le bateau ?", False),
        ("What does it cost?", False),
        ("", False),
    ],
)
def test_only_a_phrasing_itself_is_answered(tmp_path: Path, text: str, answered: bool) -> None:
    match = Matcher.load(tmp_path, UNKNOWN).match(text)  # needs no embedder
    assert (match is not None) == answered
    assert match is None or (match.entry_id, match.score) == ("cost", 1.0)


def test_a_language_that_nothing_is_known_of() -> None:
    assert Words.load("fr") is None
    assert decoys("fr") == []


@pytest.mark.parametrize(
    ("text", "ask"),
    [
        ("Wer bezahlt das?", "who"),
        ("Unter welcher Lizenz steht das?", "what"),
        ("Wieso schläft es?", "why"),
        ("Wie lange muss ich warten?", "how long"),
        ("Wie viele Minuten muss ich warten?", "how long"),
        ("Wie viele Welten gibt es?", "how much"),
        ("Wie lösche ich das?", "how"),
        ("Kostet das Geld", WHETHER),
        ("Kannst du mir sagen, was das kostet?", "what"),
        ("Ich wüsste gern, ob das kostenlos ist.", REQUEST),
        ("Das ist kostenlos, oder?", WHETHER),
        ("Kostenlos?", WHETHER),
        ("Ich zahle den Zoll?", TOLD + "ich"),
        ("Zahle den Zoll", TOLD + "kost"),
    ],
)
def test_what_a_german_text_asks_for(text: str, ask: str) -> None:
    reading = READER.read(text)
    assert reading is not None
    assert reading.ask == ask


@pytest.mark.parametrize(
    ("words", "same"),
    [
        (("Antwort", "Antworten"), True),
        (("Geschichte", "Geschichten"), True),
        (("anderen", "anderes"), True),
        (("Karte", "Kasten"), False),
    ],
)
def test_german_stems(words: tuple[str, ...], same: bool) -> None:
    assert WORDS
    assert (len({stem(word.casefold(), WORDS.endings) for word in words}) == 1) == same


@pytest.mark.parametrize(
    ("text", "phrasing", "allowed"),
    [
        ("Was kostet das denn?", "Was kostet das?", True),
        ("Was kostet das Pferd?", "Was kostet das?", False),
        ("Warum kostet das nichts?", "Was kostet das?", False),
        ("Kann ich ohne WLAN spielen?", "Kann ich ohne Internet spielen?", True),
        ("Kann ich mit Internet spielen?", "Kann ich ohne Internet spielen?", False),
        ("Bitte lösche meine Geschichte nicht.", "Bitte lösche meine Geschichte.", False),
        ("Ist der Code geschlossen?", "Ist der Code offen?", False),
        ("Was kostet dein Kasten?", "Was kostet das?", False),  # nothing is misspelt
        ('"Was kostet das?"', "Was kostet das?", False),
    ],
)
def test_the_german_guard_alone(text: str, phrasing: str, allowed: bool) -> None:
    reading = GUARD.read(text)
    row = phrasings(GERMAN).index(phrasing)
    assert (reading is not None and GUARD.allows(reading, row, 0.84)) == allowed


def test_the_german_matcher(tmp_path: Path) -> None:
    ensure_index(tmp_path, GERMAN, vectors_dir=FAQ)
    matcher = Matcher.load(tmp_path, GERMAN)
    asked = {text: entry for entry, texts in LABELS["questions"].items() for text in texts}
    known = {text.casefold() for text in (*phrasings(GERMAN), *decoys("de"))}
    assert not known & {text.casefold() for text in (*asked, *LABELS["near_misses"])}
    found = {text: matcher.match(text) for text in (*asked, *LABELS["near_misses"])}
    right = [text for text, entry in asked.items() if (match := found[text]) and match.entry_id == entry]
    wrong = {text: match.entry_id for text, match in found.items() if match and text not in right}
    assert len(wrong) <= MOST_FALSE, wrong
    assert len(right) >= LEAST_RECALL * len(asked)
    for phrasing in ("Wie lange dauert es noch?", "wie lange noch", "Was kostet das?"):
        assert matcher.match(phrasing), phrasing


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
