"""Worlds as images have them: checked, and as JSON, which a cold start reads without the library for YAML.

`python -m prologue.compiled OUT_DIR` writes a folder for each world, with one file: the world in each of its
languages, the first one first. The YAML stays what writers write, and is read wherever nothing was compiled.
"""

import json
import sys
from pathlib import Path
from typing import Any

from prologue.schema import WORLDS, World

COMPILED = "world.json"


def compile_world(folder: Path, out_dir: Path) -> Path:
    """Checks the world of `folder`, and writes its file. Raises WorldError."""
    from prologue.loading import load_languages

    target = out_dir / folder.name / COMPILED
    target.parent.mkdir(parents=True, exist_ok=True)
    worlds = load_languages(folder)
    document = {language: world.model_dump(mode="json", by_alias=True) for language, world in worlds.items()}
    target.write_text(json.dumps(document, ensure_ascii=False), "utf-8")
    return target


def load_world(folder: Path, language: str) -> World:
    """A world that was checked before it got here, compiled or not. Raises WorldError."""
    from_json = _compiled(folder)
    if from_json and language in from_json:
        return World.model_validate(from_json[language])
    from prologue import loading

    if from_json:
        known = ", ".join(from_json)
        raise loading.WorldError([f"{folder}: there is no {language!r} of this world; languages: {known}"])
    return loading.load_world(folder, language, checked=True)


def titles(folder: Path) -> dict[str, str]:
    """Its title in each of its languages, its first one first. Raises WorldError."""
    if known := _compiled(folder):
        return {language: world["title"] for language, world in known.items()}
    from prologue import loading

    return loading.titles(folder)


def _compiled(folder: Path) -> dict[str, Any] | None:
    file = folder / COMPILED
    if not file.is_file():
        return None
    document: dict[str, Any] = json.loads(file.read_bytes())
    return document


def main() -> None:
    from prologue.loading import WorldError

    if len(sys.argv) != 2:
        sys.exit("usage: python -m prologue.compiled OUT_DIR")
    try:
        for folder in sorted(path for path in WORLDS.iterdir() if path.is_dir()):
            print(compile_world(folder, Path(sys.argv[1])))
    except WorldError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
