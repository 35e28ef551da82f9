"""What the images are built from, and that another model is another image."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from infra.context import OptionsError
from lambda_image.engine.convert.write import write_bundle
from tests.checkpoints import write_checkpoint
from tests.infra.snapshot import default
from tests.infra.synth import Synth, bundles, synth


def test_each_image_is_a_target_of_the_one_dockerfile() -> None:
    assert {
        (how["dockerBuildTarget"], how["dockerFile"], how["platform"]) for how in default().images().values()
    } == {
        ("model", "lambda_image/Dockerfile", "linux/arm64"),
        ("prologue", "lambda_image/Dockerfile", "linux/arm64"),
    }


def test_weights_reach_the_image_by_a_context_and_are_not_copied_by_synth() -> None:
    how = _image(default(), "model")
    assert how["dockerBuildContexts"] == {"bundle": str(bundles() / "llama3.1-8b")}
    assert "dockerBuildContexts" not in _image(default(), "prologue")
    for target in ("model", "prologue"):
        folder = default().directory / _image(default(), target)["directory"]
        assert {path.name for path in folder.iterdir()} - {".dockerignore"} == {
            "lambda_image",
            "prologue",
            "session",
        }
        assert not [path for path in folder.rglob("*") if path.suffix in {".bin", ".kv", ".so", ".pyc"}]


def test_another_bundle_is_another_image(tmp_path: Path) -> None:
    shutil.copytree(bundles() / "demo", tmp_path / "demo-again")
    (tmp_path / "demo").symlink_to("demo-again")
    before, same = synth(), synth(bundles=str(tmp_path))
    assert _hash(same, "model") == _hash(before, "model")
    (tmp_path / "demo" / "manifest.json").write_text(
        '{"name": "demo", "of": "other weights"}', encoding="utf-8"
    )
    after = synth(bundles=str(tmp_path), capacity=1)  # synths are kept by their options
    assert _hash(after, "model") != _hash(before, "model")
    assert _hash(after, "prologue") == _hash(before, "prologue")
    assert _image(after, "model")["dockerBuildContexts"] == {"bundle": str(tmp_path / "demo-again")}


def test_aten_s_kernels_are_another_target() -> None:
    assert {how["dockerBuildTarget"] for how in synth(kernels="aten").images().values()} == {
        "model-aten",
        "prologue",
    }


def test_an_image_without_weights_has_all_else_of_the_bundle(tmp_path: Path) -> None:
    bundle = tmp_path / "bundles" / "demo"
    shutil.copytree(bundles() / "demo", bundle)
    for name in ("weights.bin", "embedding.bin", "tokenizer.json"):
        (bundle / name).write_bytes(name.encode())
    with_weights = synth(bundles=str(bundle.parent))
    made = synth(bundles=str(bundle.parent), weights="s3")
    assert _hash(made, "model") != _hash(with_weights, "model")  # or a deploy would keep the other image
    folder = Path(_image(made, "model")["dockerBuildContexts"]["bundle"])
    assert folder.is_relative_to(made.directory)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        "embedding.bin": b"embedding.bin",
        "tokenizer.json": b"tokenizer.json",
        "manifest.json": (bundle / "manifest.json").read_bytes(),
    }


def test_a_function_too_small_for_weights_out_of_s3_is_not_deployed(tmp_path: Path) -> None:
    write_bundle(write_checkpoint(tmp_path / "checkpoint"), tmp_path / "my-tale")
    own = {"models": ["my-tale"], "bundles": str(tmp_path)}
    synth(**own, memory_mb={"my-tale": 1000})
    with pytest.raises(OptionsError, match=r"memory_mb: my-tale needs 1025 to 10240 MB .* given: 1000"):
        synth(**own, memory_mb={"my-tale": 1000}, weights="s3")
    synth(**own, memory_mb={"my-tale": 1025}, weights="s3")


def test_a_mirror_of_the_base_image_can_be_named() -> None:
    base = {"BASE": "mirror.example.org/python:3.13-slim"}
    assert {how["dockerBuildArgs"]["BASE"] for how in synth(build_args=base).images().values()} == {
        "mirror.example.org/python:3.13-slim"
    }


def test_a_model_without_a_bundle_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(OptionsError, match="run make model MODEL=demo TARGET=arm64 "):
        synth(bundles=str(tmp_path))


def _image(made: Synth, target: str) -> dict[str, Any]:
    (how,) = (how for how in made.images().values() if how["dockerBuildTarget"] == target)
    return how


def _hash(made: Synth, target: str) -> str:
    (digest,) = (digest for digest, how in made.images().items() if how["dockerBuildTarget"] == target)
    return digest
