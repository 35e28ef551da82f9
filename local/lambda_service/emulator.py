"""Where the Runtime Interface Emulator is: Amazon ships it inside the PyPI package `aws-sam-cli`."""

import os
import platform
import shutil
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from local.lambda_service.config import REPOSITORY

PACKAGE = "aws-sam-cli"
_BINARIES = {
    "x86_64": "aws-lambda-rie-x86_64",
    "amd64": "aws-lambda-rie-x86_64",
    "aarch64": "aws-lambda-rie-arm64",
    "arm64": "aws-lambda-rie-arm64",
}


class EmulatorUnavailableError(RuntimeError):
    """The emulator can't run here; the message says what to do about it."""


def find_emulator(*, cache: Path = REPOSITORY / ".cache" / "lambda-emulator") -> Path:
    """An executable emulator for this machine; one installed without its x bit is copied to `cache` first.

    Raises `EmulatorUnavailableError`.
    """
    if sys.platform != "linux":
        raise EmulatorUnavailableError(
            f"Lambda's Runtime Interface Emulator exists for Linux only and this is {platform.system()}. "
            "Run the stage in a Linux virtual machine or container."
        )
    machine = platform.machine().lower()
    if machine not in _BINARIES:
        raise EmulatorUnavailableError(
            f"Lambda's Runtime Interface Emulator exists for x86_64 and arm64, not for {machine}."
        )
    try:
        # Found by its metadata: importing samcli would need all of its dependencies.
        package = distribution(PACKAGE)
    except PackageNotFoundError:
        raise EmulatorUnavailableError(
            f"The package {PACKAGE}, which brings Lambda's Runtime Interface Emulator, is not installed. "
            f"Install it without its dependencies: pip install --no-deps {PACKAGE}"
        ) from None
    binary = Path(str(package.locate_file(f"samcli/local/rapid/{_BINARIES[machine]}")))
    if not binary.is_file():
        raise EmulatorUnavailableError(
            f"{PACKAGE} {package.version} has no {binary.name} (looked in {binary.parent}). "
            "Install the pinned version."
        )
    return binary if os.access(binary, os.X_OK) else _executable_copy(binary, cache / package.version)


def _executable_copy(binary: Path, folder: Path) -> Path:
    copy = folder / binary.name
    if not copy.exists():
        folder.mkdir(parents=True, exist_ok=True)
        partial = copy.with_suffix(f".{os.getpid()}")  # another stage may be copying too
        shutil.copyfile(binary, partial)
        partial.chmod(0o755)
        partial.replace(copy)
    return copy
