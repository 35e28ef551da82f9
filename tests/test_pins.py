"""What is installed anywhere is named exactly, and what the images install down to its files."""

import re
import subprocess
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPOSITORY = Path(__file__).parent.parent
FILES = [
    path
    for depth in ("", "[!.]*/", "[!.]*/*/")
    for path in sorted(REPOSITORY.glob(f"{depth}requirements*.txt"))
    if "cdk.out" not in path.parts
]
LOCKS = sorted(REPOSITORY.glob("*/requirements.lock"))
FILES_ONLY = [
    REPOSITORY / "lambda_image" / "requirements-emulator.txt",
    REPOSITORY / "prologue" / "requirements-embedder.txt",
]
MODELS_DOWNLOADER = "huggingface-hub"  # tokenizers asks for it, and the images do without
LAMBDA = {"python_version": "3.13", "python_full_version": "3.13.15", "sys_platform": "linux"}


def named(path: Path) -> list[Requirement]:
    """What a file asks for by name; hashes left out."""
    lines = re.sub(r"\\\n\s*--hash=\S+", "", path.read_text()).splitlines()
    told = (re.split(r"\s#|^#", line)[0].strip() for line in lines)
    return [Requirement(line) for line in told if line and not line.startswith("-r ")]


def locked(path: Path) -> dict[str, Requirement]:
    return {canonicalize_name(one.name): one for one in named(path)}


def short(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


@pytest.mark.parametrize("path", [*FILES, *LOCKS], ids=short)
def test_every_requirement_is_one_version(path: Path) -> None:
    for one in named(path):
        assert re.fullmatch(r"==[^*,\s]+", str(one.specifier)), one


def test_both_images_have_a_lock() -> None:
    assert [short(path) for path in LOCKS] == ["lambda_image/requirements.lock", "prologue/requirements.lock"]


@pytest.mark.parametrize("lock", LOCKS, ids=short)
def test_a_lock_is_what_its_requirements_ask_for(lock: Path) -> None:
    found = locked(lock)
    for one in named(lock.with_suffix(".txt")):
        assert found[canonicalize_name(one.name)].specifier == one.specifier


@pytest.mark.parametrize("lock", LOCKS, ids=short)
def test_a_lock_is_whole_and_has_nothing_else(lock: Path) -> None:
    """Nothing is resolved when an image is built: what isn't in its lock isn't in it."""
    found = locked(lock)
    needed, ahead = set[str](), [(one.name, one.extras) for one in named(lock.with_suffix(".txt"))]
    while ahead:
        name, extras = ahead.pop()
        needed.add(canonicalize_name(name))
        for one in map(Requirement, requires(name) or ()):
            wanted = any(
                one.marker is None or one.marker.evaluate({**LAMBDA, "extra": extra})
                for extra in (extras or {""})
            )
            if wanted and canonicalize_name(one.name) not in needed | {MODELS_DOWNLOADER}:
                ahead.append((one.name, one.extras))
    assert found.keys() == needed


@pytest.mark.parametrize("path", [*LOCKS, *FILES_ONLY], ids=short)
def test_what_goes_into_an_image_is_named_by_its_hash_and_by_no_place_to_get_it(path: Path) -> None:
    text = "".join(line for line in path.read_text().splitlines(True) if not line.startswith("#"))
    for one in text.replace("\\\n", " ").splitlines():
        assert len(re.findall(r" --hash=sha256:[0-9a-f]{64}\b", one)) >= 1, one
    assert not re.findall(r"https?:|file:|--index|--find", text)


def test_both_functions_run_the_same_versions() -> None:
    model, light = map(locked, LOCKS)
    for name in model.keys() & light.keys():
        assert model[name].specifier == light[name].specifier


def test_the_audit_asks_about_every_file() -> None:
    command = ["make", "--dry-run", "--no-print-directory", "audit"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    (asked,) = re.findall(r"^for file in (.*?);", done.stdout, re.MULTILINE)
    assert set(asked.split()) == {short(path) for path in [*FILES, *LOCKS]}
