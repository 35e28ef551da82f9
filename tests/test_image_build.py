"""How `make image` has the images built, and that each package they are built of has one version."""

import re
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest

from infra.options import Options
from tests.image.build import Image

REPOSITORY = Path(__file__).parent.parent
PIN = re.compile(r"^([A-Za-z0-9_.-]+)(?:\[.*?\])?==([^\s;]+)", re.MULTILINE)
TORCH = {"2.13.0", "2.10.0"}  # of x86, and the newest that is CPU-only for arm64 Linux


def make_image(*settings: str) -> str:
    """What `make image` would have the builder do, in one line."""
    command = ["make", "--dry-run", "--no-print-directory", "image", *settings]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    (line,) = re.findall(r"docker buildx build .*", done.stdout.replace("\\\n", " "))
    return " ".join(line.split())


@pytest.mark.parametrize(
    ("settings", "options"),
    [
        ((), {"platform": "linux/arm64", "target": "model"}),
        (("ARCH=amd64",), {"platform": "linux/amd64", "target": "model"}),
        (("KERNELS=aten",), {"platform": "linux/arm64", "target": "model-aten"}),
        (("FUNCTION=prologue",), {"platform": "linux/arm64", "target": "prologue"}),
    ],
)
def test_each_image_is_a_target_for_one_architecture(
    settings: tuple[str, ...], options: dict[str, str]
) -> None:
    line = make_image(*settings)
    for name, value in options.items():
        assert f" --{name} {value} " in line
    assert ("--build-context bundle=" in line) == (options["target"] != "prologue")


@pytest.mark.parametrize(
    ("given", "name"),
    [(None, "demo"), ("llama3.1", "llama3.1-8b"), ("Llama3.1-8B", "llama3.1-8b"), ("My-own", "my-own")],
)
def test_the_model_is_named_as_the_catalog_or_its_maker_does(given: str | None, name: str) -> None:
    line = make_image(*([f"MODEL={given}"] if given else []))
    assert f"bundle=\"$(realpath '.cache/models/{name}')\" " in line


def test_images_are_run_with_the_memory_that_a_deploy_gives_them() -> None:
    (light,) = re.findall(
        r"^MEMORY_MB: Final = (\d+)",
        (REPOSITORY / "infra" / "prologue_function.py").read_text(),
        re.MULTILINE,
    )
    assert Image("", "prologue", "arm64").memory_mb == int(light)
    assert Image("", "model", "arm64").memory_mb == Options(models=("demo",)).memory_of("demo")


def test_lambda_gets_an_image_and_not_an_index() -> None:
    line = make_image()
    assert " --provenance=false --sbom=false " in line
    assert line.count("linux/") == 1


def test_a_package_has_one_version_wherever_it_is_installed() -> None:
    versions = defaultdict(set)
    for file in (*REPOSITORY.glob("*requirements*.txt"), *REPOSITORY.glob("[!.]*/**/requirements*.txt")):
        for name, version in PIN.findall(file.read_text()):
            versions[name.lower().replace("_", "-")].add(version)
    assert versions.pop("torch") == TORCH
    assert {name: found for name, found in versions.items() if len(found) > 1} == {}


def test_versions_are_in_requirements_files_and_nowhere_else() -> None:
    image = REPOSITORY / "lambda_image"
    for file in (REPOSITORY / "Makefile", image / "Dockerfile", *image.glob("*.sh")):
        assert not re.findall(r"==\d.*", file.read_text()), file
