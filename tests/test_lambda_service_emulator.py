"""Finding the emulator, its log lines, and the settings."""

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
from pydantic import ValidationError

from local.lambda_service import emulator
from local.lambda_service.config import FunctionConfig
from local.lambda_service.emulator import EmulatorUnavailableError, find_emulator
from local.lambda_service.emulator_log import readable
from local.lambda_service.settings import SETTINGS_FILE, load_settings

EMULATORS_ID = "168cf0df-db51-4e62-9b01-b780c2873873"


class FakePackage:
    version = "1.2.3"

    def __init__(self, root: Path) -> None:
        self.root = root

    def locate_file(self, path: str) -> Path:
        return self.root / path


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package whose binary has lost its x bit; returns the binary."""
    binary = tmp_path / "samcli/local/rapid/aws-lambda-rie-arm64"
    binary.parent.mkdir(parents=True)
    binary.write_bytes(b"\x7fELF")
    binary.chmod(0o644)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    monkeypatch.setattr(emulator, "distribution", lambda name: FakePackage(tmp_path))
    return binary


def test_the_installed_emulator_is_executable() -> None:
    assert os.access(find_emulator(), os.X_OK)


def test_a_binary_without_its_x_bit_is_copied(package: Path, tmp_path: Path) -> None:
    found = find_emulator(cache=tmp_path / "cache")
    assert found == tmp_path / "cache" / "1.2.3" / package.name
    assert found.read_bytes() == package.read_bytes()
    assert os.access(found, os.X_OK)
    assert find_emulator(cache=tmp_path / "cache") == found
    assert list(found.parent.iterdir()) == [found]


def test_an_executable_binary_is_used_where_it_is(package: Path, tmp_path: Path) -> None:
    package.chmod(0o755)
    assert find_emulator(cache=tmp_path / "cache") == package


def test_a_package_without_the_binary(package: Path) -> None:
    package.unlink()
    with pytest.raises(EmulatorUnavailableError, match=r"aws-sam-cli 1\.2\.3 has no aws-lambda-rie-arm64"):
        find_emulator()


def test_no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(emulator, "distribution", missing)
    with pytest.raises(EmulatorUnavailableError, match="pip install --no-deps aws-sam-cli"):
        find_emulator()


def test_another_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(EmulatorUnavailableError, match="Linux only"):
        find_emulator()


def test_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    with pytest.raises(EmulatorUnavailableError, match="not for riscv64"):
        find_emulator()


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (f"START RequestId: {EMULATORS_ID} Version: $LATEST", "START RequestId: ours"),
        (f"END RequestId: {EMULATORS_ID}", None),
        (
            f"REPORT RequestId: {EMULATORS_ID}\tInit Duration: 0.17 ms\tDuration: 71.77 ms\t"
            "Billed Duration: 72 ms\tMemory Size: 512 MB\tMax Memory Used: 512 MB\t",
            "REPORT RequestId: ours Duration: 71.77 ms Billed Duration: 72 ms",
        ),
        (
            f"REPORT RequestId: {EMULATORS_ID}\tDuration: 1.53 ms\tBilled Duration: 2 ms\t"
            "Memory Size: 512 MB\tMax Memory Used: 512 MB\t",
            "REPORT RequestId: ours Duration: 1.53 ms Billed Duration: 2 ms",
        ),
        (
            f"21 Nov 2026 08:06:27,848 [ERROR] (rapid) Invoke failed InvokeID={EMULATORS_ID} error=exit 3",
            "emulator: Invoke failed InvokeID=ours error=exit 3",
        ),
        (f"a handler's line about {EMULATORS_ID}", f"a handler's line about {EMULATORS_ID}"),
        ("  ", None),
    ],
)
def test_log_lines(line: str, shown: str | None) -> None:
    assert readable(line, "ours") == shown


def test_a_function_has_the_projects_defaults() -> None:
    config = FunctionConfig(handler="a.b")
    assert (config.environments, config.idle_s, config.timeout_s, config.memory_mb) == (2, 300, 900, 10240)
    assert (config.maximum_event_age_s, config.maximum_retry_attempts) == (60, 0)


def test_lambda_allows_at_most_two_retries() -> None:
    with pytest.raises(ValidationError, match="less than or equal to 2"):
        FunctionConfig(handler="a.b", maximum_retry_attempts=3)


def test_a_settings_file_with_an_unknown_key_is_refused(tmp_path: Path) -> None:
    broken = tmp_path / "settings.toml"
    broken.write_text(SETTINGS_FILE.read_text(encoding="utf-8").replace("idle_s", "idle"), encoding="utf-8")
    with pytest.raises(ValidationError, match=r"function\.idle"):
        load_settings(broken)
