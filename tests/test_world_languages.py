"""A world in several languages: which there are, and what is said of one that is another world."""

import re
import shutil
from pathlib import Path

import pytest

from prologue.world import WORLDS, WorldError, languages, load_languages, load_world, titles

NAME = "hollow-skerry"
FIRST = (WORLDS / NAME / "world.yaml").read_text("utf-8")
GERMAN = (WORLDS / NAME / "world.de.yaml").read_text("utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(WORLDS / NAME, tmp_path / NAME))


def line_of(source: str, text: str) -> int:
    return source[: source.index(text)].count("\n") + 1


def differing(folder: Path, source: str) -> list[tuple[int, str]]:
    """(line, message) of each problem of the German file, the same whoever looks."""
    (folder / "world.de.yaml").write_text(source, "utf-8")
    with pytest.raises(WorldError) as caught:
        load_world(folder, "de")
    with pytest.raises(WorldError) as all_of_them:
        load_languages(folder)
    assert all_of_them.value.problems == caught.value.problems
    prefix = f"{folder / 'world.de.yaml'}:"
    assert all(problem.startswith(prefix) for problem in caught.value.problems)
    parts = (problem.removeprefix(prefix).split(": ", 1) for problem in caught.value.problems)
    return [(int(line), message) for line, message in parts]


def test_each_language_is_a_whole_world_of_the_same_name(folder: Path) -> None:
    assert languages(folder) == ("en", "de")
    assert titles(folder) == {"en": "The Light on Hollow Skerry", "de": "Das Feuer auf Hollow Skerry"}
    english, german = load_world(folder), load_world(folder, "de")
    assert load_world(folder, "en") == english
    assert load_languages(folder) == {"en": english, "de": german}
    assert (english.language, german.language) == ("en", "de")
    assert english.name == german.name == NAME
    assert german.system != english.system


def test_a_language_that_is_not_there(folder: Path) -> None:
    with pytest.raises(WorldError, match=r"world\.fr\.yaml:1: there is no 'fr' .*; languages: en, de$"):
        load_world(folder, "fr")


def test_the_first_language_is_the_one_that_world_yaml_names(folder: Path) -> None:
    (folder / "world.yaml").write_text(GERMAN, "utf-8")
    (folder / "world.de.yaml").unlink()
    (folder / "world.en.yaml").write_text(FIRST, "utf-8")
    own = FIRST[FIRST.index("\nfaq:\n") : FIRST.index("  - id: which-skerry")]  # the house speaks no pt-BR
    portuguese = FIRST.replace(own, "\nfaq:\n").replace("language: en", "language: pt-BR")
    (folder / "world.pt-BR.yaml").write_text(portuguese, "utf-8")
    assert languages(folder) == ("de", "en", "pt-BR")
    assert load_world(folder).language == "de"
    assert load_world(folder, "pt-BR").language == "pt-BR"


# One edit of the German file each: what is replaced, by what, and what is said about it, and where.
# A letter in braces stands for the line of world.yaml that PLACES names.
EDITS = {
    "the file's name says another language": (
        "language: de",
        "language: da",
        [("language: da", "language: must be the language in the file's name, 'de'")],
    ),
    "another question": (
        "- id: post",
        "- id: rank",
        [
            ("facts: >-", "facts: unknown question post; questions: name, rank, bag, voice, reason"),
        ],
    ),
    "a choice is called otherwise": (
        "- id: relief",
        "- id: abloesung",
        [
            (
                "choices:\n      - id: abloesung",
                "questions[1].choices: lacks 'relief', which world.yaml:{A} has",
            ),
            ("- id: abloesung", "questions[1].choices: 'abloesung' is not in world.yaml:{A}"),
        ],
    ),
    "no words of one's own": (
        "    free_text: true\n    placeholder: oder der Name",
        "    free_text: false\n    placeholder: oder der Name",
        [("    free_text: false", "questions[0].free_text is not as in world.yaml:{F}")],
    ),
    "a lull too few": (
        "  - speaker: forecast\n    text: Sicht mäßig bis gut. Geduld gut, zeitweise sehr gut.\n",
        "",
        [("lulls:", "lulls has 12 entries; world.yaml:{L} has 13")],
    ),
    "a suggestion more": (
        "suggestions:\n",
        "suggestions:\n  - Schlafen\n",
        [("suggestions:", "suggestions has 4 entries; world.yaml:{S} has 3")],
    ),
    "an faq entry is called otherwise": (
        "- id: which-skerry\n",
        "- id: welches\n",
        [
            ("faq:\n", "faq: lacks 'which-skerry', which world.yaml:{Q} has"),
            ("- id: welches", "faq: 'welches' is not in world.yaml:{Q}"),
        ],
    ),
    "another colour": (
        'accent: "#f2b65a"',
        'accent: "#f2b65b"',
        [("theme:", "theme is not as in world.yaml:{T}")],
    ),
    "another moment to wake": (
        "wake: interaction",
        "wake: hello",
        [("wake: hello", "wake is not as in world.yaml:{W}")],
    ),
    "one speaker more": (
        "  forecast: Der Seewetterbericht",
        "  forecast: Der Seewetterbericht\n  seal: Die Robbe",
        [("  seal: Die Robbe", "speakers: 'seal' is not in world.yaml:{P}")],
    ),
}
PLACES = {
    "A": "choices:\n      - id: relief",
    "F": "    free_text: true",
    "L": "lulls:",
    "S": "suggestions:",
    "Q": "faq:\n",
    "T": "theme:",
    "W": "wake:",
    "P": "speakers:",
}


@pytest.mark.parametrize("edit", EDITS)
def test_a_difference_is_named_with_its_line(edit: str, folder: Path) -> None:
    old, new, expected = EDITS[edit]
    assert GERMAN.count(old) >= 1
    source = GERMAN.replace(old, new, 1)
    lines = {place: line_of(FIRST, text) for place, text in PLACES.items()}
    wanted = [(line_of(source, seen_at), message.format(**lines)) for seen_at, message in expected]
    assert differing(folder, source) == wanted


def test_an_order_that_differs_is_named_where_it_begins(folder: Path) -> None:
    found = re.search(r"speakers:\n(  (\w+): .*\n)(  (\w+): .*\n)", GERMAN)
    assert found is not None
    first, second = found[1], found[3]
    source = GERMAN.replace(first + second, second + first)
    [(line, said)] = differing(folder, source)
    assert line == line_of(source, second)
    assert said.startswith(f"speakers: {found[4]!r} stands where world.yaml:")


def test_the_same_language_twice(folder: Path) -> None:
    (folder / "world.en.yaml").write_text(FIRST, "utf-8")
    with pytest.raises(WorldError, match=r"world\.en\.yaml:5: language: world\.yaml is in 'en' already"):
        load_languages(folder)


def test_the_problems_of_all_files_are_listed(folder: Path) -> None:
    (folder / "world.yaml").write_text(FIRST.replace("wake: interaction", "wake: never"), "utf-8")
    (folder / "world.de.yaml").write_text(GERMAN.replace("title: Das", "titel: Das"), "utf-8")
    with pytest.raises(WorldError) as caught:
        load_languages(folder)
    files = [problem.split(":")[0].rsplit("/")[-1] for problem in caught.value.problems]
    assert files == ["world.yaml", "world.de.yaml", "world.de.yaml"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("name: x\ntitle: [1, 2\n", r"world\.yaml:3: not YAML: "),
        ("name: x\nlanguage: en\n", r"world\.yaml:1: the world lacks the key 'title'"),
        ("- language\n- title\n", r"world\.yaml:1: the world lacks the key 'language'"),
        ("theme: {language: en, title: x}\n", r"world\.yaml:1: the world lacks the key 'language'"),
    ],
)
def test_a_head_that_cannot_be_read(source: str, message: str, folder: Path) -> None:
    (folder / "world.yaml").write_text(source, "utf-8")
    with pytest.raises(WorldError, match=message):
        languages(folder)


def test_the_head_is_read_without_what_follows(folder: Path) -> None:
    (folder / "world.yaml").write_text("speakers: {title: Sir}\nlanguage: en\ntitle: T\n: [broken", "utf-8")
    assert titles(folder) == {"en": "T", "de": "Das Feuer auf Hollow Skerry"}


def test_a_world_that_was_checked_is_not_tried_again(folder: Path) -> None:
    broken = FIRST.replace("{% if bag %}", "{% if %}")
    (folder / "world.yaml").write_text(broken, "utf-8")
    assert load_world(folder, checked=True).facts != load_world(WORLDS / NAME).facts
    assert load_world(folder, "de", checked=True) == load_world(WORLDS / NAME, "de")
    with pytest.raises(WorldError, match="facts: template does not compile"):
        load_world(folder)
