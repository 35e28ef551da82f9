"""`python -m prologue`: for the writers of worlds. What is wrong with a world, and how it plays."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from prologue.play import Play, Start
from prologue.schema import World
from prologue.world import WORLDS, WorldError, load_languages, load_world

SCHEMA_FILE = Path(__file__).parent.parent / "docs" / "world.schema.json"
Language = Annotated[str | None, typer.Option(help="One of the world's languages; default: its first.")]
Seconds = Annotated[float, typer.Option(min=0.1, help="How long the model takes to wake.")]
Fail = Annotated[bool, typer.Option("--fail", help="It cannot be woken at first, nor when tried again.")]
Early = Annotated[bool, typer.Option("--early", help="It is awake before the last answer.")]
Folder = Annotated[Path, typer.Argument(help="A world's folder, or a name under prologue/worlds/.")]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)


@app.command()
def check(folder: Folder) -> None:
    """Say everything that is wrong with a world, in all of its languages; exit status 1 if anything is."""
    folder = _found(folder)
    try:
        worlds = load_languages(folder)
    except WorldError as error:
        print(error, file=sys.stderr)
        count = len(error.problems)
        raise SystemExit(f"curtain: {count} problem{'s' if count > 1 else ''}") from None
    for language, world in worlds.items():
        counts = {
            "opening lines": len(world.opening),
            "questions": len(world.questions),
            "countdown fragments": len(world.countdown),
            "lulls": len(world.lulls),
            "FAQ entries": len(world.faq),
            "phrasings": sum(len(entry.phrasings) for entry in world.faq),
        }
        told = ", ".join(f"{count} {name}" for name, count in counts.items())
        print(f"ok: {world.name} [{language}] {world.title}: {told}")


@app.command()
def play(
    folder: Folder,
    language: Language = None,
    seconds: Seconds = 50.0,
    fail: Fail = False,
    early: Early = False,
) -> None:
    """Play a world's prologue in the terminal, with a model that only pretends to load."""
    try:
        world = load_world(_found(folder), language)
    except WorldError as error:
        raise SystemExit(str(error)) from None
    Play(world, Start(seconds=0.1 if early else seconds, failures=2 if fail else 0)).run()


@app.command()
def schema(
    write: Annotated[bool, typer.Option("--write", help=f"Into docs/{SCHEMA_FILE.name}.")] = False,
) -> None:
    """Print the JSON Schema of a world file, for editors."""
    if write:
        SCHEMA_FILE.write_text(json_schema(), "utf-8")
    else:
        print(json_schema(), end="")


def json_schema() -> str:
    """The document that `docs/world.schema.json` holds."""
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "A world of Curtain"}
    return json.dumps(World.model_json_schema() | head, indent=2, ensure_ascii=False) + "\n"


def _found(folder: Path) -> Path:
    """The folder itself, or the world of that name."""
    return folder if folder.is_dir() or not (WORLDS / folder).is_dir() else WORLDS / folder


if __name__ == "__main__":
    app()
