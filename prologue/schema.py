"""The schema of a world file: every key, what it must hold, and what the model is told of it.

`docs/world.schema.json` is generated from here (`python -m prologue schema`), descriptions included, and
`docs/worlds.md` explains it to writers. Reading files, and checks across keys: `prologue/loading.py`.
"""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StringConstraints,
    ValidationInfo,
    model_validator,
)

from prologue.facts import render, try_facts
from prologue.faq.house import FaqEntry, Id, OwnEntry, Text, merged

WORLDS = Path(__file__).parent / "worlds"  # those that come with Curtain
TEMPLATE_MARKS = ("{{", "{%", "{#")


def _known_speaker(speaker: str, info: ValidationInfo) -> str:
    if info.context and speaker not in info.context["speakers"]:
        raise ValueError(f"unknown speaker {speaker!r}; speakers: {', '.join(info.context['speakers'])}")
    return speaker


def _static(text: str) -> str:
    if any(mark in text for mark in TEMPLATE_MARKS):
        raise ValueError("must be static: move what varies into `facts`, which is rendered after it")
    return text


def _folder_name(name: str, info: ValidationInfo) -> str:
    if info.context and name != info.context["folder"]:
        raise ValueError(f"must be the name of its folder, {info.context['folder']!r}")
    return name


def _file_language(language: str, info: ValidationInfo) -> str:
    expected = info.context["language"] if info.context else None
    if expected not in (None, language):
        raise ValueError(f"must be the language in the file's name, {expected!r}")
    return language


def _compiles(source: str, info: ValidationInfo) -> str:
    if info.context and info.context["try_facts"]:
        try_facts(source, info.context["questions"])
    return source


def about(text: str) -> object:
    """What an editor shows for a key."""
    return Field(description=text)


Variable = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]
Language = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}(-[A-Z][a-z]{3})?(-[A-Z]{2})?$")]
Colour = Annotated[str, StringConstraints(pattern=r"^#[0-9a-f]{6}$"), about("A colour, #rrggbb.")]
Speaker = Annotated[str, AfterValidator(_known_speaker), about("Who says it: a key of `speakers`.")]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class Theme(_Part):
    """Colours of the page, `#rrggbb`, and one word for its decoration."""

    background: Colour
    surface: Colour
    text: Colour
    muted: Colour
    accent: Colour
    motif: Annotated[Id, about("One word for the page's decoration; a page that doesn't know it has none.")]


class Line(_Part):
    """One spoken line."""

    speaker: Speaker
    text: Text
    pause_ms: Annotated[
        StrictInt, Field(ge=0, le=10_000, description="Milliseconds of silence after the line.")
    ] = 900


class Choice(_Part):
    """One of the answers that are offered."""

    id: Annotated[Id, about("The same in every language.")]
    label: Annotated[Text, about("What the listener reads and picks.")]
    fact: Annotated[Text, about("What the story is told: put into `facts` where the question's id stands.")]
    reply: Annotated[Text, about("What the question's speaker says to this choice.")]


class Question(_Part):
    """Answered by a choice, by the listener's own words where `free_text`, or skipped."""

    id: Annotated[Variable, about("A variable of `facts`; the same in every language.")]
    speaker: Speaker
    text: Text
    choices: Annotated[tuple[Choice, ...], Field(min_length=2)]
    free_text: Annotated[StrictBool, about("Whether the listener's own words are an answer too.")]
    placeholder: Annotated[str, about("Invites the listener's own words.")] = ""
    free_reply: Annotated[str, about("Said to any words of the listener's own: it must suit them all.")] = ""
    skip_reply: Annotated[Text, about("Said when the question is skipped.")]

    @model_validator(mode="after")
    def _free_text_is_whole(self) -> "Question":
        if self.free_text and not (self.placeholder and self.free_reply):
            raise ValueError("free_text needs `placeholder` and `free_reply`")
        return self


class Fragment(_Part):
    """One piece of what is told while the model wakes. Any of them may be the last that is heard."""

    text: Text
    speaker: Annotated[Speaker | None, about("Nobody in particular, if absent.")] = None


class World(_Part):
    """A world in one language. `system`, `facts` and `opening_prompt` reach the model; nothing else does."""

    name: Annotated[Id, AfterValidator(_folder_name), about("The name of the folder.")]
    language: Annotated[Language, AfterValidator(_file_language), about("A short code: en, de, pt-BR.")]
    title: Text
    tagline: Text
    theme: Theme
    speakers: Annotated[
        dict[Id, Text], Field(min_length=1, description="Who speaks: an id, and the name that is shown.")
    ]
    system: Annotated[
        Text,
        AfterValidator(_static),
        about("The model's standing instructions. The same for every listener: no template in it."),
    ]
    facts: Annotated[
        Text,
        AfterValidator(_compiles),
        about("A Jinja2 template over the answers, by question id; rendered after `system`, on one line."),
    ]
    opening_prompt: Annotated[
        Text, AfterValidator(_static), about("What the model is asked for the first scene.")
    ]
    opening: Annotated[tuple[Line, ...], Field(min_length=6, description="Said at once, in this order.")]
    questions: Annotated[tuple[Question, ...], Field(min_length=5, description="Asked one after another.")]
    countdown: Annotated[
        tuple[Fragment, ...],
        Field(min_length=12, description="A story in pieces, told in order while the model wakes."),
    ]
    lulls: Annotated[
        tuple[Fragment, ...],
        Field(min_length=8, description="Short lines for when the countdown is over and the wait is not."),
    ]
    ready: Annotated[Line, about("As the curtain rises.")]
    ready_early: Annotated[Line, about("The same, when the model was awake before the last answer.")]
    failed: Annotated[Line, about("The model could not wake: say so in plain words, and offer to try again.")]
    retrying: Annotated[Line, about("It is tried again.")]
    failed_again: Annotated[Line, about("And it could not wake again.")]
    wake: Annotated[
        Literal["hello", "interaction"],
        about("When to wake the model: at once, or at the first answer or after some seconds."),
    ] = "interaction"
    suggestions: Annotated[
        tuple[Text, ...], Field(min_length=1, description="What to do first in the story.")
    ]
    own_faq: Annotated[
        tuple[OwnEntry, ...],
        Field(alias="faq", description="What this world answers in its own way, without the model."),
    ] = ()

    @cached_property
    def faq(self) -> tuple[FaqEntry, ...]:
        """All that is answered without the model: the house's FAQ, as this world answers it, and its own."""
        return merged(self.own_faq, self.language)

    def render_system(self, answers: Mapping[str, str]) -> str:
        """The system prompt: `system`, then what `facts` makes of `answers`.

        `answers` maps question ids to facts: a choice's `fact`, or the listener's own words, which are
        data here, never template. A question that is absent or blank is unanswered; with no answers this
        is `system` alone. An id that is no question, of an older edition of the world, is passed over.
        """
        values = {question.id: answers.get(question.id, "") for question in self.questions}
        facts = render(self.facts, values)
        return f"{self.system}\n\n{facts}" if facts else self.system
