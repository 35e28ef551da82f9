"""The grammar's data: the YAML files in data/, validated. A block of text holds one sentence a line."""

from functools import cache
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict

DATA = Path(__file__).parent / "data"


def _lines(block: Any) -> Any:
    return (
        tuple(line.strip() for line in block.splitlines() if line.strip())
        if isinstance(block, str)
        else block
    )


def _entries(block: Any) -> Any:
    return tuple(e.strip() for e in block.split(",") if e.strip()) if isinstance(block, str) else block


Lines = Annotated[tuple[str, ...], BeforeValidator(_lines)]
Entries = Annotated[tuple[str, ...], BeforeValidator(_entries)]


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Place(Model):
    name: str
    at: str
    people: tuple[str, ...] = ()
    near: tuple[str, ...]
    details: Lines


class Person(Model):
    name: str
    look: Lines = ()
    says: Lines


class NamedCompanion(Model):
    phrase: str
    short: str
    alias: str
    lines: Lines
    talk: Lines


class Companions(Model):
    named: tuple[NamedCompanion, ...]
    any: Lines
    any_talk: Lines
    any_trait: Lines
    any_trait_talk: Lines


class NamedKeepsake(Model):
    phrase: str
    short: str
    alias: str
    line: Lines
    use: Lines


class Keepsakes(Model):
    named: tuple[NamedKeepsake, ...]
    any_line: Lines
    any_use: Lines


class Gate(Model):
    phrase: str
    place: str
    lines: Lines


class Family(Model):
    vp: Lines = ()
    say: Lines = ()
    reply: Lines
    noun: str = "thing"
    need: str | None = None
    about: str | None = None
    lingers: bool = False
    moves: bool = False
    alone: bool = False


class Answer(Model):
    hook: str
    family: str | None = None
    say: tuple[str, ...]
    reply: Lines = ()
    to: str | None = None
    focus: bool = False
    obj: str | None = None


class FactForms(Model):
    system: str
    begin: str
    facts: dict[str, str]
    names: tuple[str, ...]
    quests: tuple[str, ...]


class Forms(Model):
    train: dict[str, float]
    held: tuple[str, ...]


class Grammar(Model):
    """Everything the generator knows."""

    words: dict[str, Entries]
    places: dict[str, Place]
    people: dict[str, Person]
    companions: Companions
    keepsakes: Keepsakes
    gates: tuple[Gate, ...]
    scene: dict[str, Lines]
    actions: dict[str, Family]
    attack_person: Lines
    attack_thing: Lines
    facts: FactForms
    forms: Forms
    answers: tuple[Answer, ...]
    weights: dict[str, float]


@cache
def grammar() -> Grammar:
    """The whole grammar; pydantic.ValidationError says which entry of which file is wrong."""

    def load(name: str) -> Any:
        return yaml.safe_load((DATA / f"{name}.yaml").read_text(encoding="utf-8"))

    scene, actions = load("scene"), load("actions")
    return Grammar(
        words=load("words"),
        places={p["name"]: Place(**p) for p in load("places")},
        people={p["name"]: Person(**p) for p in load("people")},
        companions=load("companions"),
        keepsakes=load("keepsakes"),
        gates=scene.pop("gates"),
        attack_person=actions.pop("attack_person"),
        attack_thing=actions.pop("attack_thing"),
        scene=scene,
        actions=actions,
        facts=load("facts"),
        forms=load("forms"),
        answers=load("answers"),
        weights=load("weights"),
    )
