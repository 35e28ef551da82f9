"""Bundles: written whole or not at all, mapped without a copy, refused when anything is wrong with them."""

import errno
import json
import mmap
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from typer.testing import CliRunner

from lambda_image.engine.bundle import verify
from lambda_image.engine.bundle.manifest import PAGE, read_manifest, verify_bundle
from lambda_image.engine.bundle.weights import Weights, WeightsWriter
from lambda_image.engine.convert import build, write
from lambda_image.engine.convert.checkpoint import Checkpoint
from lambda_image.engine.convert.ensure import ensure_bundle
from lambda_image.engine.convert.write import write_bundle
from lambda_image.engine.engine import Engine
from lambda_image.engine.errors import BundleError, CheckpointError
from lambda_image.engine.load import Loader
from tests.checkpoints import edit_json, write_checkpoint, write_tokenizer


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("source") / "tiny", dtype=torch.bfloat16, sharded=True)


@pytest.fixture(scope="module")
def pristine(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bundles") / "pristine"
    write_bundle(checkpoint, out)
    return out


@pytest.fixture
def damaged(pristine: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(pristine, tmp_path / "damaged"))


def test_manifest_says_what_is_in_the_bundle(checkpoint: Path, pristine: Path) -> None:
    manifest = verify_bundle(pristine)
    assert manifest.name == "tiny"
    assert manifest.config == Checkpoint(checkpoint).config
    assert set(manifest.files) == {"weights.bin", "tokenizer.json", "tokenizer_config.json"}
    assert {path.name for path in pristine.iterdir()} == {*manifest.files, "manifest.json"}


def test_tensors_lie_in_order_of_first_use_on_page_boundaries(pristine: Path) -> None:
    tensors = read_manifest(pristine).tensors
    assert list(tensors)[:4] == [
        "embedding",
        "layers.0.attention_norm",
        "layers.0.qkv.packed",
        "layers.0.qkv.scales",
    ]
    assert list(tensors)[-2:] == ["head.packed", "head.scales"]
    offsets = [entry.offset for entry in tensors.values()]
    assert offsets == sorted(offsets)
    assert all(offset % PAGE == 0 for offset in offsets)


def test_floats_survive_the_round_trip(checkpoint: Path, pristine: Path) -> None:
    source = Checkpoint(checkpoint)
    model = Loader(pristine, read_manifest(pristine)).model
    assert model.embedding.dtype == torch.bfloat16
    assert torch.equal(model.embedding.float(), source.rows(source.plan[0]))
    assert torch.equal(model.norm, source.rows(source.plan[-2]))


def test_slices_make_no_difference(
    checkpoint: Path, pristine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write, "SLICE", 64 * 64)
    write_bundle(checkpoint, tmp_path / "sliced")
    assert (tmp_path / "sliced/weights.bin").read_bytes() == (pristine / "weights.bin").read_bytes()


def test_tensors_are_views_of_the_mapping(pristine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    maps: list[mmap.mmap] = []
    real = mmap.mmap

    def remember(*args: Any, **options: Any) -> mmap.mmap:
        maps.append(real(*args, **options))
        return maps[-1]

    monkeypatch.setattr(mmap, "mmap", remember)
    manifest = read_manifest(pristine)
    model = Loader(pristine, manifest).model
    start = torch.frombuffer(maps[0], dtype=torch.uint8).data_ptr()
    assert model.embedding.data_ptr() == start + manifest.tensors["embedding"].offset
    packed = getattr(model.layers[1].down, "packed")  # noqa: B009  a Linear may be of either kind
    assert packed.data_ptr() == start + manifest.tensors["layers.1.down.packed"].offset


def test_building_over_something_is_refused(checkpoint: Path, pristine: Path) -> None:
    with pytest.raises(BundleError, match="exists already"):
        write_bundle(checkpoint, pristine)


def test_a_tokenizer_of_another_model_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    source = Path(shutil.copytree(checkpoint, tmp_path / "mixed"))
    write_tokenizer(source, 320)
    with pytest.raises(CheckpointError, match=r"ids up to 3\d\d, the model knows 300: they don't belong"):
        write_bundle(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_full_disk_leaves_nothing(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(WeightsWriter, "finish", full)
    with pytest.raises(OSError, match="No space left"):
        write_bundle(checkpoint, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_build_left_is_swept_away(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / ".out.partial").mkdir()
    (tmp_path / ".out.partial/weights.bin").write_bytes(b"half")
    write_bundle(checkpoint, tmp_path / "out")
    verify_bundle(tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def overwrite(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def corrupt_tensor(folder: Path) -> None:
    overwrite(folder / "weights.bin", read_manifest(folder).tensors["layers.1.out.packed"].offset, b"\0" * 64)


def move_tensor(folder: Path) -> None:
    tensors = json.loads((folder / "manifest.json").read_text())["tensors"]
    tensors["norm"]["offset"] = 1 << 40
    edit_json(folder / "manifest.json", tensors=tensors)


def forget_tensor(folder: Path) -> None:
    tensors = json.loads((folder / "manifest.json").read_text())["tensors"]
    del tensors["layers.0.out.scales"]
    edit_json(folder / "manifest.json", tensors=tensors)


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no bundle": (shutil.rmtree, r"manifest.json can't be read \(No such file"),
    "no manifest": (lambda folder: (folder / "manifest.json").unlink(), "manifest.json can't be read"),
    "half a manifest": (
        lambda folder: os.truncate(folder / "manifest.json", 500),
        "manifest.json is damaged or of another version",
    ),
    "another version": (
        lambda folder: edit_json(folder / "manifest.json", format=2),
        r"another version \(format: Input should be 1\)",
    ),
    "another CPU": (
        lambda folder: edit_json(folder / "manifest.json", layout="aten-int4pack/abacus"),
        "packed for aten-int4pack/abacus, this CPU reads .* build the bundle on a machine like this",
    ),
    "no weights": (lambda folder: (folder / "weights.bin").unlink(), "weights.bin can't be read"),
    "half the weights": (
        lambda folder: os.truncate(folder / "weights.bin", 10_000),
        "weights.bin has 10000 bytes instead of",
    ),
    "a hole in the weights": (corrupt_tensor, r"layers.1.out.packed is damaged \(checksum differs\)"),
    "a tensor out of bounds": (move_tensor, "entry of norm can't be right"),
    "a tensor not listed": (forget_tensor, r"has nothing for layers.0.out.scales \(2, 64, 2\)"),
    "no tokenizer": (lambda folder: (folder / "tokenizer.json").unlink(), "tokenizer.json can't be read"),
    "a broken tokenizer": (
        lambda folder: overwrite(folder / "tokenizer.json", 0, b"?"),
        "tokenizer.json: .*: put the original file back",
    ),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_refused_clearly(damaged: Path, name: str) -> None:
    damage, message = DAMAGE[name]
    damage(damaged)
    with pytest.raises(BundleError, match=message) as error:
        Engine.load(damaged)
    assert str(damaged) in str(error.value)
    assert "build" in str(error.value)


def test_an_empty_file_cannot_be_mapped(tmp_path: Path) -> None:
    (tmp_path / "weights.bin").touch()
    with pytest.raises(BundleError, match="can't be mapped"):
        Weights(tmp_path / "weights.bin")


def test_verify_finds_what_loading_does_not(damaged: Path) -> None:
    entry = read_manifest(damaged).tensors["embedding"]
    overwrite(damaged / "weights.bin", entry.offset + entry.nbytes // 2, b"\x11\x22")
    Engine.load(damaged)
    with pytest.raises(BundleError, match=r"weights.bin is not the file that was built"):
        verify_bundle(damaged)


def test_ensure_builds_once(checkpoint: Path, tmp_path: Path) -> None:
    source = Path(shutil.copytree(checkpoint, tmp_path / "tiny"))
    first = ensure_bundle(source, tmp_path / "cache")
    built = (first / "manifest.json").stat().st_ino
    assert ensure_bundle(source, tmp_path / "cache") == first
    assert (first / "manifest.json").stat().st_ino == built
    assert read_manifest(first).source_sha256.startswith(first.name.split("-")[1])


def test_ensure_notices_other_weights_of_the_same_size(checkpoint: Path, tmp_path: Path) -> None:
    source = Path(shutil.copytree(checkpoint, tmp_path / "tiny"))
    first = ensure_bundle(source, tmp_path / "cache")
    shard = source / "model-00002-of-00002.safetensors"
    overwrite(shard, shard.stat().st_size - 2, b"\0\0")
    assert ensure_bundle(source, tmp_path / "cache") != first


def test_ensure_survives_a_broken_memo(checkpoint: Path, tmp_path: Path) -> None:
    first = ensure_bundle(checkpoint, tmp_path)
    for rubbish in ("{", "[]", json.dumps({"layout": 7})):
        (tmp_path / "memo.json").write_text(rubbish)
        assert ensure_bundle(checkpoint, tmp_path) == first


def test_ensure_finds_a_bundle_without_importing_torch(checkpoint: Path, tmp_path: Path) -> None:
    ensure_bundle(checkpoint, tmp_path)
    program = (
        "import sys, pathlib; from lambda_image.engine.convert.ensure import ensure_bundle; "
        "ensure_bundle(*map(pathlib.Path, sys.argv[1:])); assert 'torch' not in sys.modules"
    )
    command = [sys.executable, "-c", program, str(checkpoint), str(tmp_path)]
    subprocess.run(command, check=True, cwd=Path(__file__).parents[1])


def test_ensure_refuses_what_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"config.json is missing"):
        ensure_bundle(tmp_path / "nothing", tmp_path / "cache")


def test_command_line(checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert "out  " in run(build.main, str(checkpoint), str(out), code=0)
    assert "3 files as built" in run(verify.main, str(out), code=0)
    assert run(build.main, str(checkpoint), str(out), code=1).startswith("error: ")
    os.truncate(out / "weights.bin", 7)
    assert "weights.bin has 7 bytes" in run(verify.main, str(out), code=1)


def run(command: Callable[..., None], *arguments: str, code: int) -> str:
    app = typer.Typer()
    app.command()(command)
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == code
    return result.output.strip().splitlines()[-1]
