"""The house's FAQ: what people ask about Curtain itself, in any world, and what a world makes of it.

It is in house.LANG.yaml, and read when it is first needed: not before a session's first line is posted.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter

LEAST = 3  # phrasings of an entry
Id = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]*$")]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class FaqEntry(BaseModel):
    """A question about Curtain or the session, in several phrasings, and its one answer."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    id: Id
    answer: Text
    phrasings: Annotated[tuple[Text, ...], Field(min_length=LEAST)]


class OwnEntry(BaseModel):
    """What a world says to a question of the house, by its id, or a question that only this world has."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    id: Annotated[Id, Field(description="Of the house's entry, or a new one; the same in every language.")]
    answer: Annotated[
        Text | None, Field(description="In place of the house's answer; may be left out if that will do.")
    ] = None
    phrasings: Annotated[
        tuple[Text, ...],
        Field(description=f"Heard besides the house's own; of a new entry at least {LEAST}."),
    ] = ()


@cache
def house(language: str) -> tuple[FaqEntry, ...]:
    """The house's entries; none in a language that it does not speak."""
    path = Path(__file__).with_name(f"house.{language}.yaml")
    if not path.is_file():
        return ()
    import yaml  # no first line waits for it

    entries = yaml.load(path.read_bytes(), yaml.CSafeLoader)
    return TypeAdapter(tuple[FaqEntry, ...]).validate_python(entries)


def new_entries(own: Sequence[OwnEntry], language: str) -> list[OwnEntry]:
    """Those of `own` that the house has no entry for."""
    known = {entry.id for entry in house(language)}
    return [entry for entry in own if entry.id not in known]


def merged(own: Sequence[OwnEntry], language: str) -> tuple[FaqEntry, ...]:
    """The house's entries as the world answers them, then the world's new ones, which loading found whole."""
    mine = {entry.id: entry for entry in own}
    entries = list[FaqEntry]()
    for entry in house(language):
        if change := mine.get(entry.id):
            phrasings = (*entry.phrasings, *change.phrasings)
            entry = FaqEntry(id=entry.id, answer=change.answer or entry.answer, phrasings=phrasings)
        entries.append(entry)
    new = new_entries(own, language)
    return (*entries, *(FaqEntry(id=e.id, answer=e.answer or "", phrasings=e.phrasings) for e in new))
