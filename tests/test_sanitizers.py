"""The native library under sanitizers of memory, of undefined behaviour, and of data races between threads.

`native/sanitized.cpp` drives it: every kernel over odd shapes, whole models to the last position of the
cache, weights and activations of any bits, refused calls. Needs clang and its runtimes.
"""

import platform
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from lambda_image.engine.native import build
from lambda_image.engine.native.library import instruction_sets
from lambda_image.engine.native.target import this_machine

pytestmark = pytest.mark.emulated

CACHE = Path(__file__).parents[1] / ".cache" / "sanitized"
PROGRAM = Path(__file__).parent / "native" / "sanitized.cpp"
MEMORY, RACES = "address,undefined,float-cast-overflow", "thread"
EMULATED = "vnni"  # and with it AVX-512, whose loads and stores are the same
SIMDE = [*build.AVX2, f"-I{PROGRAM.parent}/simde_shim"]


def sanitized(folder: Path, sanitize: str, *, emulated: bool = False) -> Path:
    """The program, linked to a library built with `-fsanitize`, and to a kernel that SIMDe emulates."""
    found = shutil.which("clang++")
    advice = "apt-get install clang libclang-rt-dev libsimde-dev, or deselect with -m 'not emulated'"
    assert found, f"the sanitizers are clang's: {advice}"
    assert not emulated or Path("/usr/include/simde").exists(), f"SIMDe emulates AVX-512: {advice}"
    options = [found, f"-fsanitize={sanitize}", "-fno-sanitize-recover=all", f"-I{build.SOURCES}"]
    with pytest.MonkeyPatch.context() as patch:  # sanitizers and -O3 together take minutes
        patch.setattr(build, "FLAGS", ["-O1" if flag == "-O3" else flag for flag in build.FLAGS])
        library = build.build(
            this_machine(), CACHE / sanitize.partition(",")[0], cxx=[found], sanitize=sanitize
        )
        objects: list[str | Path] = [library, f"-Wl,-rpath,{library.parent}"]
        if emulated:
            objects += [folder / f"{EMULATED}.o", f"-DEMULATED=curtain::{EMULATED}"]
            source = build.SOURCES / f"{EMULATED}.cpp"
            call([*options, *build.FLAGS, *SIMDE, "-c", source, "-o", folder / f"{EMULATED}.o"])
    program = folder / "sanitized"
    call(
        [*options, "-std=c++17", "-O1", "-g", "-Wall", "-Wextra", "-Werror", PROGRAM, *objects, "-o", program]
    )
    return program


def call(command: Sequence[str | Path]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def memory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    emulated = platform.machine() == "x86_64" and EMULATED not in instruction_sets()
    return sanitized(tmp_path_factory.mktemp("memory"), MEMORY, emulated=emulated)


@pytest.fixture(scope="module")
def races(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sanitized(tmp_path_factory.mktemp("races"), RACES)


def run(program: Path, test: str, isa: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program, test, isa], capture_output=True, text=True, check=False, timeout=300)


def kernels() -> list[str]:
    here = instruction_sets()
    return here if platform.machine() != "x86_64" or EMULATED in here else [EMULATED, *here]


@pytest.mark.parametrize("isa", kernels())
@pytest.mark.parametrize("test", ["matmul", "forward", "unfit"])
def test_every_kernel_stays_in_its_buffers(memory: Path, test: str, isa: str) -> None:
    done = run(memory, test, isa)
    assert (done.returncode, done.stdout) == (0, "passed\n"), done.stderr


@pytest.mark.parametrize("test", ["open-close", "errors"])
def test_opening_closing_and_refusals_leave_nothing(memory: Path, test: str) -> None:
    """Nothing leaks either: the memory sanitizer looks at the end."""
    done = run(memory, test, instruction_sets()[0])
    assert (done.returncode, done.stdout) == (0, "passed\n"), done.stderr


@pytest.mark.parametrize("test", ["forward", "open-close"])
def test_threads_do_not_race(races: Path, test: str) -> None:
    done = run(races, test, instruction_sets()[0])
    assert (done.returncode, done.stdout) == (0, "passed\n"), done.stderr


@pytest.mark.parametrize("isa", kernels())
def test_a_planted_overflow_is_found(memory: Path, isa: str) -> None:
    done = run(memory, "planted-overflow", isa)
    assert done.returncode != 0
    assert "heap-buffer-overflow" in done.stderr
    assert f"{isa}.cpp" in done.stderr or "avx512.h" in done.stderr  # in the kernel, not in the program


def test_planted_undefined_behaviour_is_found(memory: Path) -> None:
    done = run(memory, "planted-undefined", "portable")
    assert done.returncode != 0
    assert "signed integer overflow" in done.stderr


def test_a_planted_race_is_found(races: Path) -> None:
    done = run(races, "planted-race", "portable")
    assert done.returncode != 0
    assert "data race" in done.stderr
    assert "curtain_matmul" in done.stderr
