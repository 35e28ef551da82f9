"""What the native library is compiled for, and where it lies. Nothing heavy: serving asks at its start."""

import platform
import sys
from pathlib import Path
from typing import Literal, NamedTuple

from lambda_image.engine.errors import EngineError

COMPILED = Path(__file__).parent / "compiled"
GLIBC = "2.28"  # Amazon Linux 2023 and Debian 10 or newer

Architecture = Literal["x86_64", "aarch64"]
NAMES: dict[str, Architecture] = {
    "x86_64": "x86_64",
    "amd64": "x86_64",
    "arm64": "aarch64",
    "aarch64": "aarch64",
}


class Target(NamedTuple):
    """What the library is for."""

    architecture: Architecture
    macos: bool = False

    @property
    def zig(self) -> str:
        """ziglang's name for it."""
        return f"{self.architecture}-{'macos' if self.macos else f'linux-gnu.{GLIBC}'}"

    @property
    def library(self) -> str:
        """File name."""
        return f"libcurtain-{self.architecture}.{'dylib' if self.macos else 'so'}"


def this_machine() -> Target:
    """EngineError on an architecture without kernels."""
    architecture = NAMES.get(platform.machine().lower())
    if architecture is None:
        raise EngineError(
            f"the native library knows x86_64 and arm64, this is {platform.machine()}: use the ATen path"
        )
    return Target(architecture, macos=sys.platform == "darwin")
