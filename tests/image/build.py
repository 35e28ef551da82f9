"""Builds the images with the Dockerfile as it is, and tells their layers."""

import platform
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from lambda_image.engine.convert.catalog import load_catalog
from lambda_image.engine.convert.ensure import ensure_bundle
from prologue.world import WORLDS
from tests.image.base import base
from tests.image.engine import REPOSITORY, Docker

DEMO = REPOSITORY / "models" / "demo"
BUNDLES = REPOSITORY / ".cache" / "bundles"
LIGHT_MB = 1024  # of the light function: infra/prologue_function.py


@dataclass(frozen=True)
class Image:
    tag: str
    target: str
    architecture: str

    @property
    def emulated(self) -> bool:
        return self.architecture != native()

    @property
    def memory_mb(self) -> int:
        """What a deploy gives its function, a model's being the demo model; in MB as Lambda counts them."""
        return LIGHT_MB if self.target == "prologue" else load_catalog().find("demo").memory_mb


def native() -> str:
    """Docker's name of this machine's architecture."""
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


@cache
def demo_bundle() -> Path:
    """The demo model's, with every world's prefix; the same for as long as this process runs."""
    worlds = sorted(path.parent for path in WORLDS.glob("*/world.yaml"))
    entry = load_catalog().find("demo")
    return ensure_bundle(DEMO, BUNDLES, name=entry.name, entry=entry, worlds=worlds)


def build(
    docker: Docker,
    target: str,
    architecture: str,
    *,
    context: Path = REPOSITORY,
    bundle: Path | None = None,
    tag: str | None = None,
) -> Image:
    """`target` is one of the Dockerfile's; `bundle` a model's, the demo model's if none is given.

    Raises EngineError.
    """
    image = Image(tag or f"curtain-{target}:{architecture}", target, architecture)
    docker.aloud(
        *("buildx", "build", "--load", "--progress", "plain", "--provenance=false", "--sbom=false"),
        *(("--network", "host") if docker.started_here else ()),  # that engine has no network of its own
        *("--platform", f"linux/{architecture}", "--target", target, "--tag", image.tag),
        *("--build-arg", f"BASE={base(docker, architecture)}"),
        *("--build-arg", f"BUILD_BASE={base(docker, native())}"),
        *(("--build-context", f"bundle={bundle or demo_bundle()}") if target != "prologue" else ()),
        *("--file", str(context / "lambda_image" / "Dockerfile"), str(context)),
    )
    return image


def digests(docker: Docker, image: Image) -> list[str]:
    """Of its layers, in order; what a registry knows them by is made from these."""
    return docker("image", "inspect", "--format", '{{join .RootFS.Layers " "}}', image.tag).split()


def sizes(docker: Docker, image: Image) -> dict[str, int]:
    """Bytes of each layer that has any, by what made it; the base is one layer or several."""
    told = docker("history", "--no-trunc", "--human=false", "--format", "{{.Size}} {{.CreatedBy}}", image.tag)
    found: dict[str, int] = {}
    for line in reversed(told.splitlines()):
        size, _, made_by = line.partition(" ")
        name = made_by.removesuffix(" # buildkit").strip() or "base"
        if int(size):
            found[name] = found.get(name, 0) + int(size)
    return found
