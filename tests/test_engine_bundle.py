"""Bundles: written whole or not at all, mapped without a copy, refused when anything is wrong with them."""

import errno
import json
import mmap
import os
import shutil
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lambda_image.engine.bundle.layout import unpack
from lambda_image.engine.bundle.load import Bundle, open_bundle
from lambda_image.engine.bundle.manifest import (
    EMBEDDING,
    MANIFEST,
    PAGE,
    WEIGHTS,
    Manifest,
    read_manifest,
    verify_bundle,
)
from lambda_image.engine.bundle.plan import plan
from lambda_image.engine.bundle.weights import Weights, WeightsWriter
from lambda_image.engine.convert import write
from lambda_image.engine.convert.catalog import load_catalog
from lambda_image.engine.convert.checkpoint import Checkpoint
from lambda_image.engine.convert.quantize import quantize
from lambda_image.engine.convert.write import write_bundle
from lambda_image.engine.errors import BundleError, CheckpointError
from tests.checkpoints import edit_json, write_checkpoint, write_tokenizer


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With biases and an embedding of its own."""
    folder = tmp_path_factory.mktemp("source") / "tiny"
    return write_checkpoint(folder, architecture="Qwen2ForCausalLM", dtype=torch.bfloat16, sharded=True)


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
    assert manifest.context_length == 512
    assert set(manifest.files) == {WEIGHTS, EMBEDDING, "tokenizer.json", "tokenizer_config.json"}
    assert {path.name for path in pristine.iterdir()} == {*manifest.files, MANIFEST}


def test_tensors_lie_in_order_of_first_use_on_page_boundaries(pristine: Path) -> None:
    tensors = read_manifest(pristine).tensors
    assert list(tensors)[:4] == ["embedding", "layers.0.attention_norm", "layers.0.qkv", "layers.0.out"]
    assert list(tensors)[-2:] == ["norm", "head"]
    assert {name for name, entry in tensors.items() if entry.file == EMBEDDING} == {"embedding"}
    offsets = [entry.offset for entry in tensors.values() if entry.file == WEIGHTS]
    assert offsets == sorted(offsets)
    assert all(offset % PAGE == 0 for offset in offsets)


def test_tied_models_store_one_matrix(tmp_path: Path) -> None:
    manifest = write_bundle(write_checkpoint(tmp_path / "tied", tied=True), tmp_path / "bundle")
    assert "embedding" not in manifest.tensors
    assert EMBEDDING not in manifest.files


def test_what_is_mapped_is_what_was_quantized(checkpoint: Path, pristine: Path) -> None:
    source, bundle = Checkpoint(checkpoint), open_bundle(pristine)
    for planned in source.plan:
        tensor = bundle.tensor(planned.name)
        assert not tensor.flags.writeable
        if planned.kind == "float32":
            assert np.array_equal(tensor, source.rows(planned).numpy())
            continue
        quantized, scales, bias = unpack(bundle.packed(planned.name), *planned.shape)
        expected = quantize(source.rows(planned))
        assert np.array_equal(quantized, expected[0])
        assert np.array_equal(scales, expected[1])
        biases = source.bias(planned)
        assert np.array_equal(bias, np.zeros(len(bias)) if biases is None else biases.numpy())
    qkv = next(planned for planned in source.plan if planned.name == "layers.0.qkv")
    assert unpack(bundle.packed("layers.0.qkv"), *qkv.shape)[2].all()


def test_slices_make_no_difference(
    checkpoint: Path, pristine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write, "SLICE", 24 * 64)
    write_bundle(checkpoint, tmp_path / "sliced")
    assert (tmp_path / "sliced/weights.bin").read_bytes() == (pristine / "weights.bin").read_bytes()


def test_tensors_are_views_of_the_mapping(pristine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    maps: list[mmap.mmap] = []
    real = mmap.mmap

    def remember(*args: Any, **options: Any) -> mmap.mmap:
        maps.append(real(*args, **options))
        return maps[-1]

    monkeypatch.setattr(mmap, "mmap", remember)
    bundle = open_bundle(pristine)
    starts = [np.frombuffer(found, np.uint8).ctypes.data for found in maps]
    for name, entry in bundle.manifest.tensors.items():
        assert bundle.tensor(name).ctypes.data - entry.offset in starts


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
    with pytest.raises(OSError, match=r"disk is full; the bundle needs [\d,]+ bytes: make room: '.*out'"):
        write_bundle(checkpoint, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_too_small_a_disk_is_refused_before_any_work(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9, 1234))
    with pytest.raises(BundleError, match=r"has 1,234 bytes free, the bundle needs [\d,]+: make room"):
        write_bundle(checkpoint, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_build_left_is_swept_away(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / ".out.partial").mkdir()
    (tmp_path / ".out.partial/weights.bin").write_bytes(b"half")
    with pytest.raises(BundleError, match=r"manifest.json can't be read"):
        open_bundle(tmp_path / ".out.partial")
    write_bundle(checkpoint, tmp_path / "out")
    verify_bundle(tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_the_builder_can_add_to_a_bundle_before_it_is_whole(checkpoint: Path, tmp_path: Path) -> None:
    def finish(folder: Path, manifest: Manifest) -> Manifest:
        assert not (folder / MANIFEST).exists()
        open_bundle(folder, manifest).check_edges()
        return manifest.model_copy(update={"catalog": "tiny-1b"})

    write_bundle(checkpoint, tmp_path / "out", finish=finish)
    assert read_manifest(tmp_path / "out").catalog == "tiny-1b"


def test_weights_that_are_not_finite_stop_the_build(tmp_path: Path) -> None:
    source = write_checkpoint(tmp_path / "source", dtype=torch.float16)
    poison(source / "model.safetensors", "model.layers.1.mlp.down_proj.weight")
    with pytest.raises(CheckpointError, match=r"layers.1.mlp.down_proj.weight holds NaN or infinity"):
        write_bundle(source, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def poison(path: Path, name: str) -> None:
    """Sets a float16 of the named tensor to infinity."""
    data = bytearray(path.read_bytes())
    length = int.from_bytes(data[:8], "little")
    start = 8 + length + json.loads(data[8 : 8 + length])[name]["data_offsets"][0]
    data[start + 10 : start + 12] = b"\x00\x7c"
    path.write_bytes(data)


def overwrite(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def edit_tensor(folder: Path, name: str, **changes: object) -> None:
    tensors = json.loads((folder / MANIFEST).read_text())["tensors"]
    tensors[name] |= changes
    edit_json(folder / MANIFEST, tensors=tensors)


def corrupt_tensor(folder: Path) -> None:
    overwrite(folder / WEIGHTS, read_manifest(folder).tensors["layers.1.out"].offset, b"\1" * 64)


def corrupt_end(folder: Path) -> None:
    entry = read_manifest(folder).tensors["embedding"]
    overwrite(folder / EMBEDDING, entry.offset + entry.nbytes - 4, b"\1\2\3\4")


def forget_tensor(folder: Path) -> None:
    tensors = json.loads((folder / MANIFEST).read_text())["tensors"]
    del tensors["layers.0.out"]
    edit_json(folder / MANIFEST, tensors=tensors)


def add_tensor(folder: Path) -> None:
    tensors = json.loads((folder / MANIFEST).read_text())["tensors"]
    edit_json(folder / MANIFEST, tensors=tensors | {"layers.7.out": tensors["layers.0.out"]})


def escape(folder: Path) -> None:
    files = json.loads((folder / MANIFEST).read_text())["files"]
    edit_json(folder / MANIFEST, files=files | {"../weights.bin": files[WEIGHTS]})


def forget_file(folder: Path) -> None:
    files = json.loads((folder / MANIFEST).read_text())["files"]
    del files[EMBEDDING]
    edit_json(folder / MANIFEST, files=files)


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no bundle": (shutil.rmtree, r"manifest.json can't be read \(No such file"),
    "no manifest": (lambda folder: (folder / MANIFEST).unlink(), "manifest.json can't be read"),
    "half a manifest": (lambda folder: os.truncate(folder / MANIFEST, 500), "manifest.json is damaged"),
    "a manifest of bytes": (
        lambda folder: overwrite(folder / MANIFEST, 30, b"\xff"),
        "manifest.json is damaged .*utf-8",
    ),
    "an older format": (
        lambda folder: edit_json(folder / MANIFEST, format=1),
        "manifest.json is of format 1, this engine reads 2: delete the bundle and build it again",
    ),
    "another quantization": (
        lambda folder: edit_json(folder / MANIFEST, group_size=128),
        "is of group_size 128, this engine reads 32",
    ),
    "another byte order": (
        lambda folder: edit_json(folder / MANIFEST, layout="abacus"),
        "is of layout 'abacus', this engine reads 'qsi4c32p8'",
    ),
    "more context than the model has": (
        lambda folder: edit_json(folder / MANIFEST, context_length=513),
        "context_length 513 is more than the model's positions",
    ),
    "a file outside": (escape, r"is damaged \(files"),
    "a file not listed": (forget_file, "files has nothing for embedding.bin"),
    "no weights": (lambda folder: (folder / WEIGHTS).unlink(), "weights.bin can't be read"),
    "half the weights": (
        lambda folder: os.truncate(folder / WEIGHTS, 10_000),
        "weights.bin has 10000 bytes instead of",
    ),
    "half the embedding": (
        lambda folder: os.truncate(folder / EMBEDDING, 4096),
        "embedding.bin has 4096 bytes instead of",
    ),
    "a hole in the weights": (corrupt_tensor, r"layers.1.out is damaged \(checksum differs\)"),
    "a broken end": (corrupt_end, r"embedding.bin: tensor embedding is damaged \(checksum differs\)"),
    "a tensor out of bounds": (
        lambda folder: edit_tensor(folder, "norm", offset=1 << 40),
        "entry of norm can't be right",
    ),
    "a tensor between pages": (
        lambda folder: edit_tensor(folder, "norm", offset=8),
        "entry of norm can't be right",
    ),
    "a tensor of another kind": (
        lambda folder: edit_tensor(folder, "norm", kind="int4"),
        "has .* for norm, needed is",
    ),
    "a tensor of another shape": (
        lambda folder: edit_tensor(folder, "head", shape=[300, 32]),
        "has .* for head, needed is",
    ),
    "a tensor in another file": (
        lambda folder: edit_tensor(folder, "head", file=EMBEDDING),
        "has .* for head, needed is",
    ),
    "a tensor not listed": (forget_tensor, r"has nothing for layers.0.out \(64, 64\)"),
    "a tensor too many": (add_tensor, "has layers.7.out, which the model doesn't"),
}


def open_whole(folder: Path) -> Bundle:
    bundle = open_bundle(folder)
    bundle.check_edges()
    return bundle


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_refused_clearly(damaged: Path, name: str) -> None:
    damage, message = DAMAGE[name]
    damage(damaged)
    with pytest.raises(BundleError, match=message) as error:
        open_whole(damaged)
    assert str(damaged) in str(error.value)
    assert "build" in str(error.value)


def test_an_empty_file_cannot_be_mapped(tmp_path: Path) -> None:
    (tmp_path / "weights.bin").touch()
    with pytest.raises(BundleError, match="can't be mapped"):
        Weights(tmp_path / "weights.bin")


def test_verify_finds_what_loading_does_not(damaged: Path) -> None:
    entry = read_manifest(damaged).tensors["head"]
    overwrite(damaged / WEIGHTS, entry.offset + entry.nbytes // 2, b"\x11\x22")
    open_whole(damaged)
    with pytest.raises(BundleError, match=r"weights.bin is not the file that was built"):
        verify_bundle(damaged)


@given(place=st.floats(0, 1, exclude_max=True), junk=st.binary(min_size=1, max_size=40))
@settings(max_examples=200, deadline=None)
def test_no_manifest_does_worse_than_a_refusal(
    pristine: Path, tmp_path_factory: pytest.TempPathFactory, place: float, junk: bytes
) -> None:
    text = (pristine / MANIFEST).read_bytes()
    start = int(place * len(text))
    fuzzed = tmp_path_factory.mktemp("fuzzed")
    for path in pristine.iterdir():
        (fuzzed / path.name).symlink_to(path)
    (fuzzed / MANIFEST).unlink()
    (fuzzed / MANIFEST).write_bytes(text[:start] + junk + text[start + len(junk) :])
    try:
        bundle = open_whole(fuzzed)
    except BundleError:
        return
    for name in bundle.manifest.tensors:  # the junk fell on what nothing depends on, such as the name
        assert np.array_equal(bundle.tensor(name), open_bundle(pristine).tensor(name))


@pytest.mark.parametrize("model", load_catalog().models)
def test_bundles_are_small(model: str) -> None:
    """At most 0.58 bytes per parameter, tensors on page boundaries. The demo model's rows are too short for
    that: 64 bytes of sums and biases come to every 8 rows."""
    tensors = list(plan(load_catalog().models[model].config.model))
    size = sum(tensor.nbytes + -tensor.nbytes % PAGE for tensor in tensors)
    assert size / sum(tensor.size for tensor in tensors) <= (0.61 if model == "demo" else 0.58)
