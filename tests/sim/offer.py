"""What is played in the simulated house: two worlds with less to say, and a FAQ."""

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, cast

from prologue.world import WORLDS, World, load_world
from session.events import WorldView

if TYPE_CHECKING:
    from prologue.faq.match import Matcher

OFFER = (
    WorldView(name="emerald-city", language="en", title="The Emerald City"),
    WorldView(name="hollow-skerry", language="en", title="Hollow Skerry"),
)


@cache
def world(name: str, language: str = "en") -> World:
    """A shipped one with less to say before the story: what is posted in a row is one case."""
    whole = load_world(WORLDS / name)
    return whole.model_copy(update={"opening": whole.opening[:2], "countdown": whole.countdown[:5]})


@dataclass(frozen=True)
class Answer:
    """What the product needs of a `Match`."""

    answer: str


class Questions:
    """A `Matcher` that knows a question by its first word."""

    def match(self, text: str) -> Answer | None:
        return Answer(f"FAQ ANSWER to {text}") if text.startswith("FAQ") else None


QUESTIONS = cast("Matcher", Questions())
