"""A world: everything that is told before the model speaks, and the facts that it is then told to keep.

A world is a folder `prologue/worlds/NAME/` with one `world.yaml`. `load_world` reads it, or raises
`WorldError` with every problem that the file has, each as `file:line: message`.
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from prologue.located_yaml import Loc, LocatedYaml, YamlProblem

if TYPE_CHECKING:
    from jinja2 import Template
    from pydantic_core import ErrorDetails

WORLDS = Path(__file__).parent / "worlds"
WORLD_FILE = "world.yaml"
TEMPLATE_MARKS = ("{{", "{%", "{#")


class WorldError(Exception):
    """A world that cannot be used. `problems` holds one `file:line: message` for each thing to mend."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


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


def _compiles(source: str, info: ValidationInfo) -> str:
    """Tries `source` with every question answered and with none, so that it cannot fail in a session."""
    import jinja2
    import jinja2.meta

    try:
        template = _template(source)
        names = jinja2.meta.find_undeclared_variables(template.environment.parse(source))
        if info.context:
            questions = info.context["questions"]
            if unknown := sorted(names - set(questions)):
                raise ValueError(f"unknown question {', '.join(unknown)}; questions: {', '.join(questions)}")
        for value in ("x", ""):
            template.render(dict.fromkeys(names, value))
    except jinja2.TemplateSyntaxError as error:
        raise ValueError(f"template does not compile: {error.message} (its line {error.lineno})") from error
    except jinja2.TemplateError as error:
        raise ValueError(f"template does not render: {error.message}") from error
    return source


Id = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]*$")]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Speaker = Annotated[str, AfterValidator(_known_speaker)]
Colour = Annotated[str, StringConstraints(pattern=r"^#[0-9a-f]{6}$")]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Theme(_Part):
    """Colours of the page, `#rrggbb`, and one word for its decoration."""

    background: Colour
    surface: Colour
    text: Colour
    muted: Colour
    accent: Colour
    motif: Id


class Line(_Part):
    """One spoken line. `pause_ms`: how long the page waits after it."""

    speaker: Speaker
    text: Text
    pause_ms: Annotated[StrictInt, Field(ge=0, le=10_000)] = 900


class Choice(_Part):
    """`label` is shown, `fact` is what the story is told, `reply` is what the speaker answers."""

    id: Id
    label: Text
    fact: Text
    reply: Text


class Question(_Part):
    """Asked by `speaker`; answered by a choice, by the listener's own words where `free_text`, or skipped."""

    id: Annotated[
        str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")
    ]  # also a variable of the facts template
    speaker: Speaker
    text: Text
    choices: Annotated[tuple[Choice, ...], Field(min_length=2)]
    free_text: StrictBool
    placeholder: str = ""
    free_reply: str = ""
    skip_reply: Text

    @model_validator(mode="after")
    def _free_text_is_whole(self) -> "Question":
        if self.free_text and not (self.placeholder and self.free_reply):
            raise ValueError("free_text needs `placeholder` and `free_reply`")
        return self


class Fragment(_Part):
    """One piece of the story told while the model wakes. Any of them may be the last that is heard."""

    text: Text
    speaker: Speaker | None = None


class FaqEntry(_Part):
    """A question about Curtain or the session, in several phrasings, and its one answer."""

    id: Id
    answer: Text
    phrasings: Annotated[tuple[Text, ...], Field(min_length=3)]


class World(_Part):
    """What `world.yaml` holds. `system` and `facts` reach the model; nothing else does."""

    name: Annotated[Id, AfterValidator(_folder_name)]
    language: Literal["en"]
    title: Text
    tagline: Text
    theme: Theme
    speakers: Annotated[dict[Id, Text], Field(min_length=1)]
    system: Annotated[Text, AfterValidator(_static)]
    facts: Annotated[Text, AfterValidator(_compiles)]
    opening_prompt: Annotated[Text, AfterValidator(_static)]
    opening: Annotated[tuple[Line, ...], Field(min_length=6)]
    questions: Annotated[tuple[Question, ...], Field(min_length=5)]
    countdown: Annotated[tuple[Fragment, ...], Field(min_length=12)]
    ready: Line  # as the curtain rises
    ready_early: Line  # the same, when the model was awake before the last answer
    failed: Line  # the model could not wake
    wake: Literal["hello", "interaction"] = "interaction"
    suggestions: Annotated[tuple[Text, ...], Field(min_length=1)]  # first things to do in the story
    faq: Annotated[tuple[FaqEntry, ...], Field(min_length=20)]

    def render_system(self, answers: Mapping[str, str]) -> str:
        """The system prompt: `system`, then what `facts` makes of `answers`.

        `answers` maps question ids to facts: a choice's `fact`, or the listener's own words, which are
        data here, never template. A question that is absent or blank is unanswered; with no answers this
        is `system` alone. An id that is no question, of an older edition of the world, is passed over.
        """
        values = {
            question.id: _one_line(answers.get(question.id, "")).rstrip(". ") for question in self.questions
        }
        facts = _one_line(_template(self.facts).render(values))
        return f"{self.system}\n\n{facts}" if facts else self.system


def _one_line(text: str) -> str:
    return " ".join(text.split())


@lru_cache(maxsize=16)
def _template(source: str) -> "Template":
    from jinja2 import StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    return ImmutableSandboxedEnvironment(undefined=StrictUndefined).from_string(source)


def load_world(folder: Path) -> World:
    """Read `folder`/world.yaml. Raises WorldError with all of its problems."""
    path = folder / WORLD_FILE
    try:
        document = LocatedYaml.parse(path.read_bytes())
    except OSError as error:
        reason = f"{error.strerror}; a world is a folder with a {WORLD_FILE}"
        raise WorldError([f"{path}:1: cannot read it: {reason}"]) from error
    except YamlProblem as error:
        raise WorldError([f"{path}:{error.line}: {error}"]) from error

    speakers = document.value.get("speakers") if isinstance(document.value, dict) else None
    context = {
        "folder": folder.resolve().name,
        "speakers": list(speakers) if isinstance(speakers, dict) else [],
        "questions": [id for _, id in _named(document.value, "questions")],
    }
    found = [(line, f"key {key!r} is there twice") for line, key in document.repeated_keys()]
    found += [(document.line(loc), message) for loc, message in _repeated(document.value)]
    try:
        world = World.model_validate(document.value, context=context)
    except ValidationError as error:
        found += [(document.line(item["loc"]), _plain(item)) for item in error.errors() if not _echo(item)]
    if found:
        raise WorldError([f"{path}:{line}: {message}" for line, message in sorted(found)])
    return world


def _named(part: Any, key: str) -> Iterator[tuple[int, str]]:
    """(position, id) of the entries of the list `part[key]`, passing over whatever has not that shape."""
    entries = part.get(key) if isinstance(part, dict) else None
    for position, entry in enumerate(entries if isinstance(entries, list) else ()):
        if isinstance(entry, dict) and isinstance(entry.get("id"), str):
            yield position, entry["id"]


def _repeated(raw: Any) -> Iterator[tuple[Loc, str]]:
    """(location, message) of each id or phrasing that is there twice, whatever else is wrong."""
    lists: list[tuple[Loc, Any, str]] = [((), raw, "questions"), ((), raw, "faq")]
    lists += [
        (("questions", position), raw["questions"][position], "choices")
        for position, _ in _named(raw, "questions")
    ]
    for loc, part, key in lists:
        seen = set[str]()
        for position, id in _named(part, key):
            if id in seen:
                yield (*loc, key, position, "id"), f"id {id!r} is there twice"
            seen.add(id)
    heard: dict[str, str] = {}
    for position, id in _named(raw, "faq"):
        phrasings = raw["faq"][position].get("phrasings")
        for index, phrasing in enumerate(phrasings if isinstance(phrasings, list) else ()):
            if (words := str(phrasing).casefold()) in heard:
                message = f"phrasing {phrasing!r} is there twice, first in {heard[words]!r}"
                yield ("faq", position, "phrasings", index), message
            heard.setdefault(words, id)


def _echo(error: "ErrorDetails") -> bool:
    """Whether a list is called too short only because pydantic does not count its faulty entries."""
    return error["type"] == "too_short" and len(error["input"]) >= error["ctx"]["min_length"]


def _plain(error: "ErrorDetails") -> str:
    """pydantic's finding, in words for someone who writes YAML."""
    *where, last = error["loc"] or ("the file",)
    prefix = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in where).lstrip(".")
    match error["type"]:
        case "missing":
            return f"{prefix or 'the world'} lacks the key {last!r}"
        case "extra_forbidden":
            return f"{prefix or 'the world'} has the unknown key {last!r}"
    path = f"{prefix}[{last}]" if isinstance(last, int) else f"{prefix}.{last}".lstrip(".")
    return f"{path}: {error['msg'].removeprefix('Value error, ')}"
