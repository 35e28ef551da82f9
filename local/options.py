"""What `make run` can be told, checked before anything starts."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lambda_image.engine.convert.catalog import CatalogError, Entry, load_catalog
from prologue.world import WORLDS, World, load_languages

REPOSITORY = Path(__file__).parent.parent
MODELS = REPOSITORY / "models"
CACHE = REPOSITORY / ".cache"
FIRST_WORLD = "emerald-city"  # the default among the worlds of the repository

_NO_FUNCTION_NAME = re.compile(r"[^A-Za-z0-9_-]")


class BadOption(Exception):
    """An option that cannot be used: one line that says why and what would do."""


@dataclass(frozen=True, kw_only=True)
class Model:
    name: str
    source: str  # a checkpoint folder, or what `fetch` takes
    entry: Entry | None  # where the catalog knows it

    @property
    def function(self) -> str:
        """The name of its Lambda function."""
        return f"curtain-{_NO_FUNCTION_NAME.sub('-', self.name)}"


@dataclass(frozen=True, kw_only=True)
class WorldFolder:
    path: Path
    versions: tuple[World, ...]  # one per language, the world's first language first

    @property
    def name(self) -> str:
        return self.versions[0].name


@dataclass(frozen=True, kw_only=True)
class Options:
    port: int
    models: tuple[Model, ...]  # the first is the default
    worlds: tuple[WorldFolder, ...]  # so is the first of these
    environments: int  # of each model
    idle_s: float
    cold_start_s: float
    fail_starts: int = 0  # so many invocations at first find no bundle
    daily_seconds: float = 0.0  # that the models may work in one day; 0: as long as they like
    subject: str | None = None  # whom an authorizer would have found
    host: str = "127.0.0.1"


def find_model(name: str) -> Model:
    """A model of the catalog, or a checkpoint folder by name under `models/` or by path. Raises BadOption."""
    catalog = load_catalog()
    found = _folder(name, MODELS)
    if found is not None and (found / "config.json").is_file():
        local = {Path(entry.reference): entry for entry in catalog.models.values() if entry.is_local}
        return Model(name=found.name, source=str(found), entry=local.get(found))
    try:
        entry = catalog.find(name)
    except CatalogError as error:
        raise BadOption(f"--model {name}: no folder with a config.json, and {error}") from None
    return Model(name=entry.name, source=entry.reference, entry=entry)


def find_models(names: Iterable[str]) -> tuple[Model, ...]:
    """See `find_model`. Raises BadOption."""
    models = tuple(find_model(name) for name in names)
    _refuse_doubles("--model", [model.function.removeprefix("curtain-") for model in models])
    return models


def find_worlds(names: Sequence[str]) -> tuple[WorldFolder, ...]:
    """World folders, by name under `prologue/worlds/` or by path; all of the repository's if none is named.

    Raises BadOption, WorldError.
    """
    worlds = tuple(_find_world(name) for name in names or _known_worlds())
    _refuse_doubles("--world", [world.name for world in worlds])
    return worlds


def _find_world(name: str) -> WorldFolder:
    path = _folder(name, WORLDS)
    if path is None:
        known = ", ".join(sorted(_known_worlds()))
        raise BadOption(f"--world {name}: no such world; give a folder with a world.yaml, or: {known}")
    return WorldFolder(path=path, versions=tuple(load_languages(path).values()))


def _known_worlds() -> list[str]:
    found = {path.parent.name for path in WORLDS.glob("*/world.yaml")}
    return sorted(found, key=lambda name: (name != FIRST_WORLD, name))


def _refuse_doubles(option: str, names: Sequence[str]) -> None:
    name, times = Counter(names).most_common(1)[0]
    if times > 1:
        raise BadOption(f"{option} {name}: there are {times} of this name; give each its own")


def _folder(name: str, home: Path) -> Path | None:
    for path in (home / name, Path(name)):
        if path.is_dir():
            return path.resolve()
    return None
