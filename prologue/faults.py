"""What a schema can't find wrong with a world, and what it does find, in words for the world's writer."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from prologue.faq.house import LEAST, house, new_entries
from prologue.located_yaml import Loc, place
from prologue.schema import World

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


def against_house(world: World) -> Iterator[tuple[Loc, str]]:
    """(location, message) of what goes not together with the house's FAQ."""
    new = {entry.id for entry in new_entries(world.own_faq, world.language)}
    heard = {text.casefold(): entry.id for entry in house(world.language) for text in entry.phrasings}
    for position, entry in enumerate(world.own_faq):
        if entry.id in new and (entry.answer is None or len(entry.phrasings) < LEAST):
            message = f"{entry.id!r} is no entry of the house: it needs an `answer` and {LEAST} `phrasings`"
            yield ("faq", position), message
        for index, text in enumerate(entry.phrasings):
            if text.casefold() in heard:
                message = f"phrasing {text!r} is the house's already, in {heard[text.casefold()]!r}"
                yield ("faq", position, "phrasings", index), message


def repeated(raw: Any) -> Iterator[tuple[Loc, str]]:
    """(location, message) of each id or phrasing that is there twice, whatever else is wrong."""
    lists: list[tuple[Loc, Any, str]] = [((), raw, "questions"), ((), raw, "faq")]
    lists += [
        (("questions", position), raw["questions"][position], "choices")
        for position, _ in named(raw, "questions")
    ]
    for loc, part, key in lists:
        seen = set[str]()
        for position, id in named(part, key):
            if id in seen:
                yield (*loc, key, position, "id"), f"id {id!r} is there twice"
            seen.add(id)
    heard: dict[str, str] = {}
    for position, id in named(raw, "faq"):
        phrasings = raw["faq"][position].get("phrasings")
        for index, phrasing in enumerate(phrasings if isinstance(phrasings, list) else ()):
            if (words := str(phrasing).casefold()) in heard:
                message = f"phrasing {phrasing!r} is there twice, first in {heard[words]!r}"
                yield ("faq", position, "phrasings", index), message
            heard.setdefault(words, id)


def named(part: Any, key: str) -> Iterator[tuple[int, str]]:
    """(position, id) of the entries of the list `part[key]`, passing over whatever has not that shape."""
    entries = part.get(key) if isinstance(part, dict) else None
    for position, entry in enumerate(entries if isinstance(entries, list) else ()):
        if isinstance(entry, dict) and isinstance(entry.get("id"), str):
            yield position, entry["id"]


def is_echo(error: "ErrorDetails") -> bool:
    """Whether a list is called too short only because pydantic does not count its faulty entries."""
    return error["type"] == "too_short" and len(error["input"]) >= error["ctx"]["min_length"]


def in_words(error: "ErrorDetails") -> str:
    """pydantic's finding, in words for someone who writes YAML."""
    *where, last = error["loc"] or ("the file",)
    owner = place(where) or "the world"
    match error["type"]:
        case "missing":
            return f"{owner} lacks the key {last!r}"
        case "extra_forbidden":
            return f"{owner} has the unknown key {last!r}"
    return f"{place((*where, last))}: {error['msg'].removeprefix('Value error, ')}"
