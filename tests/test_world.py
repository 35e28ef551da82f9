"""The world file: how it is rendered for the model, and what is said about a broken one."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prologue.faq.house import house
from prologue.world import WORLDS, World, WorldError, load_world

EMERALD_CITY = WORLDS / "emerald-city"
SOURCE = (EMERALD_CITY / "world.yaml").read_text("utf-8")
SHIPPED = load_world(EMERALD_CITY)
SYSTEM = (
    "You are the narrator of an interactive story set in the Emerald City of Oz. "
    'Speak to the traveller as "you". Tell short, vivid scenes, keep to the facts below, '
    "and end each scene with something the traveller can do."
)
ANSWERS = {
    "name": "Wren",
    "companion": "a tin fox that ticks when it thinks",
    "keepsake": "a brass key that fits no lock yet",
    "quest": "a way home",
    "gate": "through the great emerald gate",
}


def load_edited(folder: Path, source: str) -> World:
    world = folder / "emerald-city"
    world.mkdir(exist_ok=True)
    (world / "world.yaml").write_text(source, "utf-8")
    return load_world(world)


def problems(folder: Path, source: str) -> list[tuple[int, str]]:
    """(line, message) of each problem, checked to be in the form `file:line: message`."""
    with pytest.raises(WorldError) as caught:
        load_edited(folder, source)
    prefix = f"{folder / 'emerald-city' / 'world.yaml'}:"
    assert all(problem.startswith(prefix) for problem in caught.value.problems)
    assert str(caught.value) == "\n".join(caught.value.problems)
    parts = (problem.removeprefix(prefix).split(": ", 1) for problem in caught.value.problems)
    return [(int(line), message) for line, message in parts]


def line_of(source: str, text: str) -> int:
    return source[: source.index(text)].count("\n") + 1


def test_the_shipped_choices_have_the_facts_that_the_model_was_trained_on() -> None:
    assert {question.id: [choice.fact for choice in question.choices] for question in SHIPPED.questions} == {
        "name": ["Wren", "Tamsin", "Oskar"],
        "companion": [
            "a tin fox that ticks when it thinks",
            "a scarecrow who has read exactly one book",
            "a lion cub who is brave on Tuesdays",
            "nobody but a very talkative shadow",
        ],
        "keepsake": [
            "a brass key that fits no lock yet",
            "a lantern with a green flame",
            "a silver whistle that only clocks can hear",
            "a map with one corner missing",
        ],
        "quest": ["a way home", "a lost friend", "the truth about the Wizard", "a story worth telling"],
        "gate": [
            "through the great emerald gate",
            "by the river gate, in a borrowed boat",
            "over the wall, by a ladder of ivy",
            "from below, through the singing cellars",
        ],
    }


def test_without_answers_the_prompt_is_the_system_text_alone() -> None:
    assert SHIPPED.render_system({}) == SYSTEM
    assert SHIPPED.render_system({"name": "  ", "quest": "."}) == SYSTEM


def test_with_all_answers_every_fact_follows_in_order() -> None:
    assert SHIPPED.render_system(ANSWERS) == (
        f"{SYSTEM}\n\nFacts: The traveller is called Wren. "
        "Beside the traveller walks a tin fox that ticks when it thinks. "
        "In the traveller's pocket is a brass key that fits no lock yet. "
        "The traveller is looking for a way home. "
        "The traveller enters the city through the great emerald gate."
    )


@pytest.mark.parametrize(
    ("answers", "facts"),
    [
        ({"name": "Ada"}, "The traveller is called Ada."),
        (
            {"gate": "by balloon", "companion": "my dog Biscuit"},
            "Beside the traveller walks my dog Biscuit. The traveller enters the city by balloon.",
        ),
        ({"quest": "the\n  lost\tsock. "}, "The traveller is looking for the lost sock."),
        ({"name": "J. R. Hartley"}, "The traveller is called J. R. Hartley."),
        ({"name": "Tom & <b>Jerry</b>"}, "The traveller is called Tom & <b>Jerry</b>."),
        ({"name": "{{ 7 * 7 }}"}, "The traveller is called {{ 7 * 7 }}."),
        (
            {"keepsake": "{% for x in ().__class__ %}{# gone #}{{ quest }}"},
            "In the traveller's pocket is {% for x in ().__class__ %}{# gone #}{{ quest }}.",
        ),
    ],
)
def test_only_what_was_answered_is_told_and_words_are_data(answers: dict[str, str], facts: str) -> None:
    assert SHIPPED.render_system(answers) == f"{SYSTEM}\n\nFacts: {facts}"


@given(st.dictionaries(st.sampled_from(sorted(ANSWERS)), st.text()))
def test_any_words_stay_on_the_one_line_of_facts(answers: dict[str, str]) -> None:
    rendered = SHIPPED.render_system(answers)
    assert rendered.startswith(SYSTEM)
    assert len(rendered.splitlines()) in (1, 3)
    for text in answers.values():
        assert " ".join(text.split()).rstrip(". ") in rendered


def test_an_answer_to_no_question_is_passed_over() -> None:
    assert SHIPPED.render_system({"weather": "mild"}) == SYSTEM


# One edit each: what is replaced, by what, where the problem is seen, and what is said about it.
EDITS = {
    "unknown key": (
        "tagline:",
        "tag_line: Hm\ntagline:",
        "tag_line:",
        "the world has the unknown key 'tag_line'",
    ),
    "unknown key inside": (
        "    free_text: true\n    placeholder: or any name",
        "    free_texts: 1\n    free_text: true\n    placeholder: or any name",
        "    free_texts: 1",
        "questions[0] has the unknown key 'free_texts'",
    ),
    "missing key": ("title: The Emerald City\n", "", "name: emerald-city", "the world lacks the key 'title'"),
    "missing key inside": (
        "        fact: Tamsin\n",
        "",
        "id: tamsin",
        "questions[0].choices[1] lacks the key 'fact'",
    ),
    "wrong type": (
        "pause_ms: 1100",
        "pause_ms: soon",
        "pause_ms: soon",
        "opening[2].pause_ms: Input should be a valid integer",
    ),
    "number for text": (
        "tagline: A story that begins while its teller is still waking up",
        "tagline: 12",
        "tagline: 12",
        "tagline: Input should be a valid string",
    ),
    "empty text": (
        "title: The Emerald City",
        "title: ''",
        "title: ''",
        "title: String should have at least 1 character",
    ),
    "colour": ('"#56d89b"', "green", "accent: green", "theme.accent: String should match pattern"),
    "language": ("language: en", "language: English", "language: English", "language: String should match"),
    "wake": (
        "wake: interaction",
        "wake: never",
        "wake: never",
        "wake: Input should be 'hello' or 'interaction'",
    ),
    "name": (
        "name: emerald-city",
        "name: ruby-city",
        "name: ruby-city",
        "name: must be the name of its folder, 'emerald-city'",
    ),
    "duplicate question": (
        "questions:\n",
        "questions:\n  - {id: gate, speaker: clock, text: Hm?, free_text: false, skip_reply: Hm., choices: ["
        "{id: a, label: A, fact: A, reply: A}, {id: b, label: B, fact: B, reply: B}]}\n",
        "  - id: gate",
        "id 'gate' is there twice",
    ),
    "duplicate choice": (
        "- id: oskar",
        "- id: wren",
        "- id: wren\n        label: Oskar",
        "id 'wren' is there twice",
    ),
    "duplicate faq entry": (
        "- id: together",
        "- id: cost",
        "- id: cost\n    answer: >-\n      Every traveller",
        "id 'cost' is there twice",
    ),
    "duplicate phrasing": (
        "- the wizard of oz?",
        "- Is this Oz",
        "- is this oz\n",
        "phrasing 'is this oz' is there twice, first in 'which-oz'",
    ),
    "a phrasing of the house": (
        "- the wizard of oz?",
        "- WHAT is Curtain?",
        "- WHAT is Curtain?",
        "phrasing 'WHAT is Curtain?' is the house's already, in 'what-is-curtain'",
    ),
    "a new faq entry without phrasings": (
        "- id: together",
        "- id: alone",
        "- id: alone",
        "'alone' is no entry of the house: it needs an `answer` and 3 `phrasings`",
    ),
    "duplicate key": (
        "title: The Emerald City",
        "title: One\ntitle: The Emerald City",
        "title: The Emerald City",
        "key 'title' is there twice",
    ),
    "unknown speaker": (
        "  - speaker: clock\n    text: It is very late",
        "  - speaker: cuckoo\n    text: It is very late",
        "speaker: cuckoo",
        "opening[3].speaker: unknown speaker 'cuckoo'; speakers: narrator, gatekeeper, clock",
    ),
    "unknown speaker of a cue": (
        "failed:\n  speaker: gatekeeper",
        "failed:\n  speaker: nobody",
        "speaker: nobody",
        "failed.speaker: unknown speaker 'nobody'",
    ),
    "facts about no question": (
        "{{ quest }}",
        "{{ weather }}",
        "facts: >-",
        "facts: unknown question weather; questions: name, companion, keepsake, quest, gate",
    ),
    "facts that do not compile": (
        "{% if gate %}",
        "{% if %}",
        "facts: >-",
        "facts: template does not compile: Expected an expression",
    ),
    "facts that cannot render": (
        "{{ gate }}",
        "{{ gate.nothing }}",
        "facts: >-",
        "facts: template does not render: 'str object' has no attribute 'nothing'",
    ),
    "facts out of the sandbox": (
        "{{ gate }}",
        "{{ gate.__class__.__mro__ }}",
        "facts: >-",
        "facts: template does not render: access to attribute '__class__'",
    ),
    "template in system": (
        "keep to the facts below",
        "keep to {{ name }}",
        "system: >-",
        "system: must be static: move what varies into `facts`",
    ),
    "free text without its reply": (
        "    free_reply: Now that is a name with a good door on it. Down it goes, exactly as you said it.\n",
        "",
        "- id: name",
        "questions[0]: free_text needs `placeholder` and `free_reply`",
    ),
}


@pytest.mark.parametrize("edit", EDITS, ids=str)
def test_a_problem_is_named_with_its_line(edit: str, tmp_path: Path) -> None:
    old, new, seen_at, message = EDITS[edit]
    assert SOURCE.count(old) >= 1
    source = SOURCE.replace(old, new, 1)
    [(line, said)] = problems(tmp_path, source)
    assert said.startswith(message)
    assert line == line_of(source, seen_at)


@pytest.mark.parametrize(
    ("part", "keep", "least"),
    [("opening", 5, 6), ("questions", 4, 5), ("countdown", 11, 12), ("lulls", 7, 8)],
)
def test_too_few_of_something(part: str, keep: int, least: int, tmp_path: Path) -> None:
    head, rest = SOURCE.split(f"\n{part}:\n")
    body, *tail = re.split(r"\n(?=\S)", rest, maxsplit=1)
    entries = re.split(r"(?m)^(?=  - )", body)
    short = "".join(entries[: keep + (entries[0].strip() == "")]).rstrip() + "\n"
    source = "\n".join([f"{head}\n{part}:", short, *tail])
    if part == "questions":
        source = source.replace("{% if gate %}The traveller enters the city {{ gate }}.{% endif %}", "")
        source = source.replace(" or gate ", " ")
    [(line, said)] = problems(tmp_path, source)
    assert line == line_of(source, f"\n{part}:\n") + 1
    assert said.startswith(f"{part}: Tuple should have at least {least} items")


def test_a_world_without_an_faq_of_its_own_has_that_of_the_house(tmp_path: Path) -> None:
    folder = tmp_path / "emerald-city"
    folder.mkdir()
    (folder / "world.yaml").write_text(SOURCE[: SOURCE.index("\nfaq:\n") + 1], "utf-8")
    assert load_world(folder).faq == house("en")


def test_a_world_answers_the_house_s_questions_in_its_own_voice() -> None:
    entries = {entry.id: entry for entry in SHIPPED.faq}
    own = {entry.id: entry for entry in SHIPPED.own_faq}
    for entry in house("en"):
        mine = own.get(entry.id)
        assert entries[entry.id].answer == ((mine and mine.answer) or entry.answer)
        assert entries[entry.id].phrasings == (*entry.phrasings, *(mine.phrasings if mine else ()))
    assert [entry.id for entry in SHIPPED.faq] == [*(entry.id for entry in house("en")), "which-oz"]


def test_the_house_has_the_same_entries_in_every_language() -> None:
    assert [entry.id for entry in house("de")] == [entry.id for entry in house("en")]
    assert house("xx") == ()


@pytest.mark.parametrize(
    ("source", "line", "message"),
    [
        ("name: emerald-city\ntitle: [1, 2\nlanguage: en\n", 3, "not YAML: "),
        ("name: a\n\ttitle: b\n", 2, "not YAML: "),
        ("name: a\ntitle: b\x07\n", 2, "not YAML: "),
        ("name: &a\n  - *b\n", 2, "not YAML: found undefined alias"),
        ("? [a]\n: 1\n", 1, "not YAML: "),
        ("", 1, "the file: Input should be a valid dictionary"),
        ("- a\n- b\n", 1, "the file: Input should be a valid dictionary"),
    ],
)
def test_what_is_not_a_world_at_all(source: str, line: int, message: str, tmp_path: Path) -> None:
    [(found, said)] = problems(tmp_path, source)
    assert (found, said[: len(message)]) == (line, message)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "world.yaml").write_bytes(b"name: a\ntitle: \xff\xfe\n")
    with pytest.raises(WorldError, match=r"world\.yaml:2: not YAML: "):
        load_world(tmp_path)


def test_every_problem_is_listed_in_the_order_of_the_file(tmp_path: Path) -> None:
    edits = ["language", "unknown speaker", "duplicate phrasing", "wake", "facts about no question"]
    source = SOURCE
    for edit in edits:
        source = source.replace(*EDITS[edit][:2], 1)
    found = problems(tmp_path, source)
    assert len(found) == len(edits)
    assert found == sorted(found)


def test_a_world_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(WorldError, match=r"nowhere/world\.yaml:1: cannot read it: No such file"):
        load_world(tmp_path / "nowhere")
