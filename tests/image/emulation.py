"""Running containers of another architecture: the kernel hands their programs to QEMU."""

import os
import subprocess
from pathlib import Path

from tests.image.build import native
from tests.image.engine import Docker

BINFMT = Path("/proc/sys/fs/binfmt_misc")
CONFIGURED = Path("/usr/lib/binfmt.d")
NAMES = {"amd64": "x86_64", "arm64": "aarch64"}


class EmulationError(RuntimeError):
    """This machine can't run the other architecture; the message says what it needs."""


def ensure_emulation(docker: Docker, architecture: str) -> None:
    """Registers qemu-user for `architecture` if need be. Raises EmulationError."""
    if architecture == native() or f"linux/{architecture}" in _platforms(docker):
        return
    name = f"qemu-{NAMES[architecture]}"
    rule = CONFIGURED / f"{name}.conf"
    if os.geteuid() or not rule.exists():
        raise EmulationError(
            f"containers for {architecture} need qemu-user registered with the kernel: as root, apt-get "
            f"install qemu-user-static (or only this machine's: make test-image ARGS='--arch {native()}')"
        )
    if not (BINFMT / "register").exists():
        subprocess.run(["mount", "-t", "binfmt_misc", "binfmt_misc", BINFMT], check=True)
    if not (BINFMT / name).exists():
        (BINFMT / "register").write_text(rule.read_text().strip())


def _platforms(docker: Docker) -> list[str]:
    """What the builder says it runs; it looks only once, when it starts."""
    told = docker("buildx", "inspect")
    lines = [line for line in told.splitlines() if line.startswith("Platforms:")]
    return lines[0].removeprefix("Platforms:").replace(",", " ").replace("*", "").split() if lines else []
