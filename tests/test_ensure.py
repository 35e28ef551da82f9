"""The cache of bundles: what is found, what is linked, what is built, and what is refused before any work."""

import errno
import os
import re
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from lambda_image.engine.bundle.manifest import MANIFEST, WEIGHTS, read_manifest, verify_bundle
from lambda_image.engine.convert.ensure import ensure_bundle
from lambda_image.engine.errors import BundleError, CheckpointError, EngineError
from lambda_image.engine.native import library
from prologue.world import WORLDS
from tests.checkpoints import edit_json, write_checkpoint

REPOSITORY = Path(__file__).parents[1]
CITY = WORLDS / "emerald-city"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("source") / "toy", sharded=True)


def _never(name: str, done: int, total: int) -> None:
    raise AssertionError(f"{name} was quantized")


def _retell(world: Path) -> None:
    """Edits what the model is told."""
    path = world / "world.yaml"
    told = re.sub(r"(?m)^system: *>-\n( +)", r"\g<0>Be brief. ", text := path.read_text(encoding="utf-8"))
    assert told != text
    path.write_text(told, encoding="utf-8")


def test_a_missing_native_library_shows_before_the_weights_are_made(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "load", partial(library.load, tmp_path / "libcurtain.so"))
    with pytest.raises(EngineError, match=r"libcurtain.so is missing: run `make native`"):
        ensure_bundle(checkpoint, tmp_path / "cache", progress=_never)


def test_a_template_that_refuses_shows_before_the_weights_are_made(checkpoint: Path, tmp_path: Path) -> None:
    source = Path(shutil.copytree(checkpoint, tmp_path / "source"))
    edit_json(
        source / "tokenizer_config.json",
        chat_template="{{ raise_exception('only tools speak') }}",
    )
    with pytest.raises(CheckpointError, match=r"source: .*refuses these messages: only tools speak"):
        ensure_bundle(source, tmp_path / "cache", worlds=[CITY], progress=_never)


def test_a_shard_outside_of_the_folder_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    source = Path(shutil.copytree(checkpoint, tmp_path / "source"))
    (shard := source / "model-00001-of-00002.safetensors").rename(tmp_path / shard.name)
    index = source / "model.safetensors.index.json"
    text = index.read_text(encoding="utf-8")
    for outside in (f"../{shard.name}", str(tmp_path / shard.name)):
        index.write_text(text.replace(shard.name, outside), encoding="utf-8")
        with pytest.raises(CheckpointError, match=r"which is no file of that folder"):
            ensure_bundle(source, tmp_path / "cache")


def test_a_killed_build_leaves_nothing_that_loads(checkpoint: Path, tmp_path: Path) -> None:
    program = (
        "import os, pathlib, signal, sys\n"
        "from lambda_image.engine.convert.ensure import ensure_bundle\n"
        "def progress(name, done, total):\n"
        "    if done > total / 2: os.kill(os.getpid(), signal.SIGKILL)\n"
        "ensure_bundle(*map(pathlib.Path, sys.argv[1:]), progress=progress)\n"
    )
    command = [sys.executable, "-c", program, str(checkpoint), str(tmp_path)]
    killed = subprocess.run(command, cwd=REPOSITORY, check=False, timeout=120)
    assert killed.returncode == -signal.SIGKILL
    (left,) = (path for path in tmp_path.iterdir() if path.is_dir())
    assert left.name.endswith(".partial")
    with pytest.raises(BundleError, match=MANIFEST):
        read_manifest(left)

    bundle = ensure_bundle(checkpoint, tmp_path)
    verify_bundle(bundle)
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == [bundle]


def test_ensure_builds_once_and_notices_other_weights(checkpoint: Path, tmp_path: Path) -> None:
    source = Path(shutil.copytree(checkpoint, tmp_path / "toy"))
    first = ensure_bundle(source, tmp_path / "cache")
    built = (first / MANIFEST).stat()
    assert ensure_bundle(source, tmp_path / "cache") == first
    assert (first / MANIFEST).stat() == built
    shard = source / "model-00002-of-00002.safetensors"
    with shard.open("r+b") as file:
        file.seek(-2, os.SEEK_END)
        file.write(b"\0\0")
    assert ensure_bundle(source, tmp_path / "cache") != first


def test_ensure_notices_another_prompt_but_not_another_answer(checkpoint: Path, tmp_path: Path) -> None:
    city = Path(shutil.copytree(CITY, tmp_path / CITY.name))
    first = ensure_bundle(checkpoint, tmp_path / "cache", worlds=[city])

    text = (city / "world.yaml").read_text(encoding="utf-8")
    tagline = re.sub(r"(?m)^tagline:.*$", "tagline: Another one", text)
    assert tagline != text
    (city / "world.yaml").write_text(tagline, encoding="utf-8")
    assert ensure_bundle(checkpoint, tmp_path / "cache", worlds=[city]) == first

    _retell(city)
    assert ensure_bundle(checkpoint, tmp_path / "cache", worlds=[city]) != first


def test_another_text_of_a_world_does_not_quantize_the_model_again(checkpoint: Path, tmp_path: Path) -> None:
    city = Path(shutil.copytree(CITY, tmp_path / CITY.name))
    first = ensure_bundle(checkpoint, tmp_path / "cache", name="toy", worlds=[city])
    before = (first / MANIFEST).read_bytes()
    _retell(city)
    second = ensure_bundle(checkpoint, tmp_path / "cache", name="toy", worlds=[city], progress=_never)
    assert second != first
    assert (first / MANIFEST).read_bytes() == before
    old, new = verify_bundle(first), verify_bundle(second)
    for name in old.mapped - {"prefix-emerald-city.kv", "prefix-emerald-city.de.kv"} | {"tokenizer.json"}:
        assert (first / name).samefile(second / name)
    assert new.prefixes["emerald-city"].ids != old.prefixes["emerald-city"].ids
    assert new.model_copy(update={"files": {}, "prefixes": {}}) == old.model_copy(
        update={"files": {}, "prefixes": {}}
    )
    fresh = ensure_bundle(checkpoint, tmp_path / "elsewhere", name="toy", worlds=[city])
    assert read_manifest(fresh) == new
    assert fresh.name == second.name


def test_a_file_system_without_links_gets_copies(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    first = ensure_bundle(checkpoint, tmp_path)
    second = ensure_bundle(checkpoint, tmp_path, worlds=[CITY], progress=_never)
    assert not (first / WEIGHTS).samefile(second / WEIGHTS)
    verify_bundle(second)


def test_damage_is_not_handed_on(checkpoint: Path, tmp_path: Path) -> None:
    first = ensure_bundle(checkpoint, tmp_path)
    with (first / WEIGHTS).open("r+b") as file:
        file.write(b"\xff")
    verify_bundle(ensure_bundle(checkpoint, tmp_path, worlds=[CITY]))


def test_a_bundle_of_more_worlds_than_are_asked_for_does(checkpoint: Path, tmp_path: Path) -> None:
    """As `make model` makes it, and `make run` asks for one."""
    other = Path(shutil.copytree(CITY, tmp_path / "worlds" / "other"))
    for path in other.glob("world*.yaml"):
        path.write_text(
            re.sub(r"(?m)^name:.*$", "name: other", path.read_text(encoding="utf-8")), encoding="utf-8"
        )
    _retell(other)
    cache = tmp_path / "cache"
    both = ensure_bundle(checkpoint, cache, name="toy", worlds=[CITY, other])
    assert sorted(read_manifest(both).prefixes) == ["emerald-city", "emerald-city.de", "other", "other.de"]
    for asked in ([CITY], [other], [], [other, CITY]):
        assert ensure_bundle(checkpoint, cache, name="toy", worlds=asked) == both
    assert ensure_bundle(checkpoint, cache, name="toy2", worlds=[CITY]) != both  # it would tell a wrong name


def test_ensure_survives_a_broken_memo(checkpoint: Path, tmp_path: Path) -> None:
    first = ensure_bundle(checkpoint, tmp_path)
    for rubbish in ("{", "[]", '{"a": 7}'):
        (tmp_path / "memo.json").write_text(rubbish)
        assert ensure_bundle(checkpoint, tmp_path) == first


def test_ensure_finds_a_bundle_without_importing_torch(checkpoint: Path, tmp_path: Path) -> None:
    ensure_bundle(checkpoint, tmp_path, worlds=[CITY])
    program = (
        "import sys, pathlib; from lambda_image.engine.convert.ensure import ensure_bundle; "
        "source, cache, city = map(pathlib.Path, sys.argv[1:]); "
        "ensure_bundle(source, cache, worlds=[city]); assert 'torch' not in sys.modules"
    )
    command = [sys.executable, "-c", program, str(checkpoint), str(tmp_path), str(CITY)]
    subprocess.run(command, check=True, cwd=REPOSITORY)


def test_ensure_refuses_what_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"config.json is missing"):
        ensure_bundle(tmp_path / "nothing", tmp_path / "cache")
