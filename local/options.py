"""What `make run` can be told, checked before anything starts."""

from dataclasses import dataclass
from pathlib import Path

from lambda_image.engine.convert.catalog import CatalogError, Entry, load_catalog
from prologue.world import WORLDS, World, load_world

REPOSITORY = Path(__file__).parent.parent
MODELS = REPOSITORY / "models"
CACHE = REPOSITORY / ".cache"


class BadOption(Exception):
    """An option that cannot be used: one line that says why and what would do."""


@dataclass(frozen=True, kw_only=True)
class Model:
    name: str
    source: str  # a checkpoint folder, or what `fetch` takes
    entry: Entry | None  # where the catalog knows it


@dataclass(frozen=True, kw_only=True)
class Options:
    port: int
    model: Model
    world: Path  # a world folder
    environments: int
    idle_s: float
    cold_start_s: float
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


def find_world(name: str) -> tuple[Path, World]:
    """A world folder, by name under `prologue/worlds/` or by path. Raises BadOption, WorldError."""
    found = _folder(name, WORLDS)
    if found is None:
        known = ", ".join(sorted(path.parent.name for path in WORLDS.glob("*/world.yaml")))
        raise BadOption(f"--world {name}: no such world; give a folder with a world.yaml, or: {known}")
    return found, load_world(found)


def _folder(name: str, home: Path) -> Path | None:
    for path in (home / name, Path(name)):
        if path.is_dir():
            return path.resolve()
    return None
