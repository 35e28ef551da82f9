"""What `make run` can be told, checked before anything starts."""

from dataclasses import dataclass
from pathlib import Path

from prologue.world import WORLDS, World, load_world

REPOSITORY = Path(__file__).parent.parent
MODELS = REPOSITORY / "models"
CACHE = REPOSITORY / ".cache"


class BadOption(Exception):
    """An option that cannot be used: one line that says why and what would do."""


@dataclass(frozen=True, kw_only=True)
class Options:
    port: int
    model: Path  # a checkpoint folder
    world: Path  # a world folder
    environments: int
    idle_s: float
    cold_start_s: float
    host: str = "127.0.0.1"


def find_model(name: str) -> Path:
    """A checkpoint folder, by name under `models/` or by path. Raises BadOption."""
    found = _folder(name, MODELS)
    if found is None or not (found / "config.json").is_file():
        known = ", ".join(sorted(path.parent.name for path in MODELS.glob("*/config.json")))
        raise BadOption(
            f"--model {name}: no such checkpoint; give a folder with a config.json, or one of: {known}"
        )
    return found


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
