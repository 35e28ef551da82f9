"""A world: everything that is told before the model speaks, and the facts that it is then told to keep.

A world is a folder `prologue/worlds/NAME/` with a `world.yaml`, and a `world.LANG.yaml` for each further
language. Writers: `docs/worlds.md`. The schema is `prologue/schema.py`; `prologue/loading.py` reads it.
"""

from prologue.faq.house import FaqEntry, OwnEntry
from prologue.loading import WORLD_FILE, WorldError, languages, load_languages, load_world, titles
from prologue.schema import WORLDS, Choice, Fragment, Line, Question, Theme, World

__all__ = [
    "WORLDS",
    "WORLD_FILE",
    "Choice",
    "FaqEntry",
    "Fragment",
    "Line",
    "OwnEntry",
    "Question",
    "Theme",
    "World",
    "WorldError",
    "languages",
    "load_languages",
    "load_world",
    "titles",
]
