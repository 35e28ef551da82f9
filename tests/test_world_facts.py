"""Answers become story facts: what a recording stand-in for the model is given to read after a prologue."""

from collections.abc import Iterator

import pytest

from prologue.world import WORLDS, Question, World, load_languages
from session.events import PrologueFragment
from session.inputs import Answered, Pinged, Said, Skipped
from tests.theatre import Theatre

EDITIONS = {
    f"{path.parent.name}/{language}": world
    for path in sorted(WORLDS.glob("*/world.yaml"))
    for language, world in load_languages(path.parent).items()
}
OWN = "Zoë {{ 7 * 7 }} O’Hara-Strauß"


@pytest.fixture(params=list(EDITIONS.values()), ids=list(EDITIONS))
def world(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> World:
    """One world after the other, and the theatre plays it."""
    played: World = request.param
    monkeypatch.setattr("tests.theatre.emerald_city", lambda: played)
    return played


def first_prompt(world: World, answers: dict[str, str]) -> str:
    """The system prompt of the opening scene, after a prologue with everything that there is in one.

    `answers`: choice ids or own words by question; what is not there is skipped.
    """
    theatre = Theatre()
    theatre.runner.apply("s", Said(turn_id="t0", text="What does it cost?", seed=1, faq=world.faq[0].answer))
    for question in world.questions:
        theatre.clock.now += 10.0
        theatre.runner.apply("s", Pinged(turn_id=None))
        theatre.runner.apply("s", _answered(question, answers.get(question.id)))
    assert theatre.posted(PrologueFragment)
    theatre.serve()
    [messages] = theatre.narrator.read
    system, asked = messages
    assert asked == {"role": "user", "content": world.opening_prompt}
    assert system["role"] == "system"
    return system["content"]


def _answered(question: Question, said: str | None) -> Answered | Skipped:
    if said is None:
        return Skipped(question_id=question.id)
    choice = said if said in {choice.id for choice in question.choices} else None
    return Answered(question_id=question.id, choice=choice, text=None if choice else said)


def told(world: World) -> Iterator[str]:
    """Everything in the prologue that is for the listener's ears only."""
    cues = (world.ready, world.ready_early, world.failed, world.retrying, world.failed_again)
    yield from (line.text for line in (*world.opening, *cues))
    yield from (piece.text for piece in (*world.countdown, *world.lulls))
    for question in world.questions:
        yield from (question.text, question.placeholder, question.free_reply, question.skip_reply)
        yield from (choice.reply for choice in question.choices)
    for entry in world.faq:
        yield from (entry.answer, *entry.phrasings)
    yield from (world.tagline, *world.suggestions)


@pytest.mark.parametrize("place", [0, 1, 2, -1])
def test_every_choice_reaches_the_first_prompt_and_nothing_else_does(world: World, place: int) -> None:
    chosen = {
        question.id: question.choices[min(place, len(question.choices) - 1)] for question in world.questions
    }
    prompt = first_prompt(world, {id: choice.id for id, choice in chosen.items()})
    system, facts = prompt.split("\n\n")
    assert system == world.system
    assert [facts.count(choice.fact) for choice in chosen.values()] == [1] * len(chosen)
    places = [facts.index(choice.fact) for choice in chosen.values()]
    assert places == sorted(places)
    others = {choice.fact for question in world.questions for choice in question.choices}
    assert not [fact for fact in others - {choice.fact for choice in chosen.values()} if fact in facts]
    assert not [text for text in told(world) if text in prompt]


def test_own_words_reach_it_letter_by_letter(world: World) -> None:
    words = {question.id: f"{OWN} {number}" for number, question in enumerate(world.questions)}
    system, facts = first_prompt(world, words).split("\n\n")
    assert system == world.system
    assert all(facts.count(text) == 1 for text in words.values())


def test_one_answer_alone_makes_one_fact(world: World) -> None:
    alone = [
        first_prompt(world, {question.id: OWN}).removeprefix(f"{world.system}\n\n")
        for question in world.questions
    ]
    assert len(set(alone)) == len(world.questions)
    assert all(facts.count(OWN) == 1 for facts in alone)
    [head] = {facts.split(" ")[0] for facts in alone}
    every = first_prompt(world, {question.id: OWN for question in world.questions})
    sentences = [facts.removeprefix(f"{head} ") for facts in alone]
    assert every == f"{world.system}\n\n{head} {' '.join(sentences)}"


def test_what_was_skipped_leaves_nothing_behind(world: World) -> None:
    assert first_prompt(world, {}) == world.system


def test_the_facts_are_there_in_every_later_scene_too(world: World) -> None:
    theatre = Theatre()
    question = world.questions[0]
    theatre.runner.apply("s", _answered(question, OWN))
    theatre.runner.apply("s", Skipped(question_id=None))
    theatre.serve()
    theatre.say("t1")
    theatre.serve()
    first, second = theatre.narrator.read
    assert OWN in first[0]["content"]
    assert second[0] == first[0]
