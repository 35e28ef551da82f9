"""What the images are built from, and that another model is another image."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from infra.context import OptionsError
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
