"""Finding, building and choosing: what a user of the native library meets before a forward pass."""

import logging
import os
from pathlib import Path

import pytest

from lambda_image.engine.errors import EngineError
from lambda_image.engine.native import cpu, library
from lambda_image.engine.native.build import build
from lambda_image.engine.native.target import COMPILED, NAMES, Target, this_machine


def test_instruction_sets_end_with_portable() -> None:
    available = library.instruction_sets()
    assert available[-1] == "portable"
    assert len(set(available)) == len(available)


def test_choice_of_instruction_set() -> None:
    assert library.choose_isa() == library.instruction_sets()[0]
    assert library.choose_isa("portable") == "portable"
    with pytest.raises(EngineError, match=r"'mmx' here; there is .*portable.*CURTAIN_KERNELS"):
        library.choose_isa("mmx")


def test_portable_alone_is_said_loudly(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(library, "instruction_sets", lambda: ["portable"])
    library._warn_of_portable.cache_clear()
    for _ in range(2):
        assert library.choose_isa() == "portable"
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "NO FAST KERNELS" in caplog.text


def test_description_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    cpu.log_kernels.cache_clear()
    for _ in range(2):
        about = cpu.describe("portable", 5)
    assert about["isa"] == "portable"
    assert about["threads"] == 5
    assert about["cpu"]
    assert len(caplog.records) == 1


def test_threads_follow_the_quota(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)), raising=False)
    for quota, threads in ((None, 6), (1, 1), (6, 6), (12, 6)):
        monkeypatch.setattr(cpu, "_quota", lambda quota=quota: quota)
        assert cpu.default_threads(1 << 26) == threads
        assert cpu.default_threads((1 << 26) - 1) == 1


@pytest.mark.parametrize(
    ("text", "cpus"),
    [
        ("max 100000", None),
        ("150000 100000", 2),
        ("200000 100000\n", 2),
        ("-1 100000", None),
        ("", None),
        ("200000", None),
        ("200000 0", None),
        ("lots of it", None),
    ],
)
def test_a_quota_that_makes_no_sense_is_none(
    monkeypatch: pytest.MonkeyPatch, text: str, cpus: int | None
) -> None:
    monkeypatch.setattr(Path, "read_text", lambda path, encoding: text)
    assert cpu._quota() == cpus


def test_missing_or_broken_library_names_the_cure(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"none\.so is missing: run `make native`"):
        library.load(tmp_path / "none.so")
    broken = tmp_path / "broken.so"
    broken.write_bytes(b"\x7fELF")
    with pytest.raises(EngineError, match=r"broken\.so can't be loaded .*run `make native`"):
        library.load(broken)


def test_library_of_another_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "ABI", 99)
    with pytest.raises(EngineError, match="has interface version 2, this is 99"):
        library.load.__wrapped__()


def test_targets() -> None:
    assert Target(NAMES["arm64"]).library == "libcurtain-aarch64.so"
    assert Target("x86_64").zig == "x86_64-linux-gnu.2.28"
    assert Target("aarch64", macos=True).library == "libcurtain-aarch64.dylib"


def test_built_library_is_kept_until_something_changes() -> None:
    made = COMPILED / this_machine().library
    before = made.stat().st_mtime_ns
    assert build(this_machine()) == made
    assert made.stat().st_mtime_ns == before


def test_missing_compiler_and_failed_compilation(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="no compiler for the native library: no-such-compiler"):
        build(this_machine(), tmp_path, cxx=["no-such-compiler"])
    with pytest.raises(EngineError, match="compiling the native library failed: false"):
        build(this_machine(), tmp_path, cxx=["false"])
    assert not list(tmp_path.glob("*.so"))
