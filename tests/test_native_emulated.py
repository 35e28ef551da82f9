"""The kernels for CPUs that this machine may not have, bit for bit equal to the portable ones: arm64's run
under QEMU, AVX-512's own sources are compiled against SIMDe's emulation of the intrinsics.
"""

import functools
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from lambda_image.engine.native.build import FLAGS, KERNELS, SOURCES
from lambda_image.engine.native.target import Architecture

pytestmark = pytest.mark.emulated

HARNESS = Path(__file__).parent / "native"
CASES = 44
FREESTANDING = ["-fno-stack-protector", "-fno-sanitize=all", f"-I{SOURCES}"]
AVX2 = KERNELS["x86_64"]["avx2.cpp"]  # what the emulations run on
SIMDE = [*AVX2, "-O1", f"-I{HARNESS}/simde_shim", "-idirafter", "/usr/include"]
# Mask and value of instruction words: Arm's A64 reference, "SDOT (by element)", "SDOT (vector)", "SMMLA".
SDOT = [(0xFFC0F400, 0x4F80E000), (0xFFE0FC00, 0x4E809400)]
SMMLA = [(0xFFE0FC00, 0x4E80A400)]

Run = subprocess.CompletedProcess[str]


def call(*command: str | Path) -> str:
    done = subprocess.run(command, cwd=SOURCES, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def link(folder: Path, architecture: Architecture, names: Sequence[str], flags: dict[str, list[str]]) -> Path:
    """The harness with these instruction sets, each file with its flags."""
    zig, target = [sys.executable, "-m", "ziglang"], ["-target", f"{architecture}-linux-gnu.2.28"]
    table = ",".join(f"&curtain::{name}" for name in names)
    files = {SOURCES / f"{name}.cpp": flags[name] for name in names}
    files[HARNESS / "harness.cpp"] = [f"-DKERNELS={table}"]
    objects = []
    for file, own in files.items():
        objects.append(folder / f"{file.stem}.o")
        call(*zig, "c++", *FLAGS, *target, *FREESTANDING, *own, "-c", file, "-o", objects[-1])
    call(*zig, "ld.lld", "-static", *objects, "-o", folder / "harness")
    return folder / "harness"


@pytest.fixture(scope="module")
def arm64(tmp_path_factory: pytest.TempPathFactory) -> Path:
    flags = {name.removesuffix(".cpp"): own for name, own in KERNELS["aarch64"].items()}
    return link(tmp_path_factory.mktemp("arm64"), "aarch64", ["portable", *flags], {"portable": [], **flags})


@pytest.fixture(scope="module")
def x86(tmp_path_factory: pytest.TempPathFactory) -> Path:
    assert platform.machine() == "x86_64", "AVX-512 is emulated on AVX2 here: deselect with -m 'not emulated'"
    assert Path("/usr/include/simde/x86/avx512.h").exists(), (
        "AVX-512 is emulated with SIMDe: apt-get install libsimde-dev, or deselect with -m 'not emulated'"
    )
    flags = {"portable": AVX2, "avx512": SIMDE, "vnni": SIMDE}
    return link(tmp_path_factory.mktemp("x86"), "x86_64", list(flags), flags)


def qemu(cpu: str, harness: Path, name: str, *options: str | Path) -> Run:
    program = shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")
    assert program, (
        "arm64 is emulated with QEMU: apt-get install qemu-user-static, or deselect with -m 'not emulated'"
    )
    command = [program, "-cpu", cpu, *options, harness, name]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def digest(run: Run) -> str:
    """Of all results, if they are the portable kernels'."""
    lines = run.stdout.splitlines()
    assert run.returncode == 0, run.stdout + run.stderr
    assert sum(line.startswith("equal ") for line in lines) == CASES
    return lines[-1]


@functools.cache
def expected(harness: Path) -> str:
    return digest(subprocess.run([harness, "portable"], capture_output=True, text=True, check=False))


@pytest.mark.parametrize("name", ["avx512", "vnni"])
def test_avx512_is_bit_equal(x86: Path, name: str) -> None:
    run = subprocess.run([x86, name], capture_output=True, text=True, check=False)
    assert digest(run) == expected(x86)


@pytest.mark.parametrize(
    ("cpu", "name"), [("neoverse-n1", "portable"), ("neoverse-n1", "sdot"), ("max", "sdot"), ("max", "smmla")]
)
def test_arm64_is_bit_equal_to_x86(arm64: Path, x86: Path, cpu: str, name: str) -> None:
    run = qemu(cpu, arm64, name)
    assert run.stdout.startswith("supported\n"), run.stdout + run.stderr
    assert digest(run) == expected(x86)


@pytest.mark.parametrize(
    ("without", "cpu", "name", "encodings"),
    [("cortex-a72", "neoverse-n1", "sdot", SDOT), ("neoverse-n1", "max", "smmla", SMMLA)],
)
def test_the_fast_instruction_is_executed(
    arm64: Path, tmp_path: Path, without: str, cpu: str, name: str, encodings: list[tuple[int, int]]
) -> None:
    """QEMU's log has all code that ran; a CPU that lacks the instruction isn't `supported` and ends there."""
    log = tmp_path / "log"
    digest(qemu(cpu, arm64, name, "-d", "in_asm", "-D", log))
    assert sum(any(word & mask == code for mask, code in encodings) for word in words(log)) >= 16

    run = qemu(without, arm64, name)
    assert run.stdout.startswith("not supported\n")
    assert "Illegal instruction" in run.stderr


def words(log: Path) -> Iterator[int]:
    for found in re.finditer(r"^0x[0-9a-f]+: +([0-9a-f]{8}) ", log.read_text(), re.MULTILINE):
        yield int(found[1], 16)
