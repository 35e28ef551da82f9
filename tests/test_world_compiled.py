"""What an image's cold start reads in place of the YAML: the same worlds, checked before."""

import json
import runpy
import sys
from pathlib import Path

import pytest

from prologue import compiled, loading
from prologue.schema import WORLDS
from prologue.world import WorldError

EDITIONS = [(folder, language) for folder in WORLDS.iterdir() for language in loading.languages(folder)]


@pytest.fixture(scope="module")
def out_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out_dir = tmp_path_factory.mktemp("compiled")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["compiled", str(out_dir)])
        patch.delitem(sys.modules, "prologue.compiled")
        runpy.run_module("prologue.compiled", run_name="__main__")
    return out_dir


@pytest.mark.parametrize(("folder", "language"), EDITIONS)
def test_a_compiled_world_is_the_world(out_dir: Path, folder: Path, language: str) -> None:
    world = compiled.load_world(out_dir / folder.name, language)
    assert world == loading.load_world(folder, language)
    assert compiled.titles(out_dir / folder.name) == loading.titles(folder)
    assert list(compiled.titles(out_dir / folder.name)) == list(loading.languages(folder))


def test_without_a_compiled_file_the_yaml_is_read() -> None:
    folder = WORLDS / "emerald-city"
    assert compiled.load_world(folder, "en") == loading.load_world(folder)
    assert compiled.titles(folder) == loading.titles(folder)


def test_nothing_but_a_checked_world_is_compiled(tmp_path: Path) -> None:
    source = (WORLDS / "emerald-city" / loading.WORLD_FILE).read_text("utf-8")
    (tmp_path / "emerald-city").mkdir()
    (tmp_path / "emerald-city" / loading.WORLD_FILE).write_text(source.replace("wake:", "woke:"), "utf-8")
    with pytest.raises(WorldError, match="unknown key 'woke'"):
        compiled.compile_world(tmp_path / "emerald-city", tmp_path / "out")
    assert not list((tmp_path / "out").rglob("*.json"))


def test_a_language_that_was_not_compiled_is_named(out_dir: Path) -> None:
    with pytest.raises(WorldError, match="there is no 'xx' of this world; languages: en, de"):
        compiled.load_world(out_dir / "emerald-city", "xx")


def test_the_command_says_how_it_is_used(monkeypatch: pytest.MonkeyPatch, out_dir: Path) -> None:
    monkeypatch.setattr(sys, "argv", ["compiled"])
    with pytest.raises(SystemExit, match=r"usage: python -m prologue\.compiled OUT_DIR"):
        compiled.main()
    names = [path.name for path in WORLDS.iterdir() if path.is_dir()]
    assert sorted(path.name for path in out_dir.iterdir()) == sorted(names)
    assert all(json.loads((out_dir / name / compiled.COMPILED).read_bytes()) for name in names)
