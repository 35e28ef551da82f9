"""Reads worlds, and says all that is wrong with one, each thing as `file:line: message`.

A folder holds `world.yaml`, in the world's first language, and a `world.LANG.yaml` per further language: each
is a whole world with the same ids, so that a session means the same in any of them.
"""

from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from prologue.editions import differences
from prologue.faults import against_house, in_words, is_echo, named, repeated
from prologue.located_yaml import LocatedYaml, YamlProblem, top_level
from prologue.schema import World

WORLD_FILE = "world.yaml"


class WorldError(Exception):
    """A world that cannot be used. `problems` holds one `file:line: message` for each thing to mend."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class _Edition(NamedTuple):
    """A world in one language, as it was read."""

    path: Path
    document: LocatedYaml
    world: World


def load_world(folder: Path, language: str | None = None, *, checked: bool = False) -> World:
    """The world of `folder`, in its first language or in `language`.

    Args:
        checked: it was checked before it got here. Leaves out the rehearsal of the facts and the comparison
            with the first language, which cost a cold start some 50 ms of CPU.

    Raises:
        WorldError: with all of the problems of that file, or the languages that there are.
    """
    if language is None:
        return _read(folder, folder / WORLD_FILE, None, checked).world
    first, *others = languages(folder)
    if language == first:
        return _read(folder, folder / WORLD_FILE, None, checked).world
    path = folder / f"world.{language}.yaml"
    if language not in others:
        known = ", ".join((first, *others))
        raise WorldError([f"{path}:1: there is no {language!r} of this world; languages: {known}"])
    edition = _read(folder, path, language, checked)
    if not checked:
        _agree(_read(folder, folder / WORLD_FILE, None, checked), edition)
    return edition.world


def languages(folder: Path) -> tuple[str, ...]:
    """The languages of a world, its first one first. Raises WorldError."""
    return tuple(titles(folder))


def titles(folder: Path) -> dict[str, str]:
    """The world's title in each of its languages, its first one first. Reads no more than the files' heads.

    Raises WorldError.
    """
    head = _head(folder / WORLD_FILE)
    found = {head["language"]: head["title"]}
    for path in _translations(folder):
        found.setdefault(_language(path), _head(path)["title"])
    return found


def load_languages(folder: Path) -> dict[str, World]:
    """The world in each of its languages. Raises WorldError with the problems of all of its files."""
    editions, problems = list[_Edition](), list[str]()
    for path in (folder / WORLD_FILE, *_translations(folder)):
        language = None if path.name == WORLD_FILE else _language(path)
        try:
            editions.append(_read(folder, path, language, checked=False))
            if language is not None and editions[0].path.name == WORLD_FILE:
                _agree(editions[0], editions[-1])
        except WorldError as error:
            problems += error.problems
    if problems:
        raise WorldError(problems)
    return {edition.world.language: edition.world for edition in editions}


def _translations(folder: Path) -> list[Path]:
    return sorted(folder.glob("world.*.yaml"))


def _language(path: Path) -> str:
    return path.name.removeprefix("world.").removesuffix(".yaml")


def _source(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        reason = f"{error.strerror}; a world is a folder with a {WORLD_FILE}"
        raise WorldError([f"{path}:1: cannot read it: {reason}"]) from error


def _head(path: Path) -> dict[str, str]:
    try:
        head = top_level(_source(path), {"language", "title"})
    except YamlProblem as error:
        raise WorldError([f"{path}:{error.line}: {error}"]) from error
    if missing := sorted({"language", "title"} - set(head)):
        raise WorldError([f"{path}:1: the world lacks the key {missing[0]!r}"])
    return head


def _read(folder: Path, path: Path, language: str | None, checked: bool) -> _Edition:
    try:
        document = LocatedYaml.parse(_source(path))
    except YamlProblem as error:
        raise WorldError([f"{path}:{error.line}: {error}"]) from error
    speakers = document.value.get("speakers") if isinstance(document.value, dict) else None
    context = {
        "folder": folder.resolve().name,
        "language": language,
        "speakers": list(speakers) if isinstance(speakers, dict) else [],
        "questions": [id for _, id in named(document.value, "questions")],
        "try_facts": not checked,
    }
    found = [(line, f"key {key!r} is there twice") for line, key in document.repeated_keys()]
    found += [(document.line(loc), message) for loc, message in repeated(document.value)]
    try:
        world = World.model_validate(document.value, context=context)
    except ValidationError as error:
        found += [
            (document.line(item["loc"]), in_words(item)) for item in error.errors() if not is_echo(item)
        ]
    else:
        found += [(document.line(loc), message) for loc, message in ([] if checked else against_house(world))]
    if found:
        raise WorldError([f"{path}:{line}: {message}" for line, message in sorted(found)])
    return _Edition(path, document, world)


def _agree(first: _Edition, other: _Edition) -> None:
    """Raises WorldError unless `other` has the ids, and as many of everything, as `first`."""
    found = differences(first.world, first.document, other.world, other.document)
    if found:
        raise WorldError([f"{other.path}:{line}: {message}" for line, message in sorted(found)])
