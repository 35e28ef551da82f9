"""`make test-image`: builds the images for both architectures and proves what they do.

The last line is one JSON document. Needs a Docker Engine with buildx, or root on Debian; and for the other
architecture qemu-user, which it registers by itself.
"""

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import partial
from typing import Any

from tests.image import proofs
from tests.image.base import base
from tests.image.build import Image, build, native
from tests.image.debian import NoMirrorError
from tests.image.emulation import EmulationError, ensure_emulation
from tests.image.engine import Docker, EngineError, container_engine

TARGETS = {"amd64": ("model", "prologue"), "arm64": ("model", "model-aten", "prologue")}
ELSEWHERE = [
    "ATen's kernels on a newer core, and that torch packs our very bytes: tests/test_arm64.py",
    "model-aten for amd64: CPU-only torch for it is on PyTorch's own index alone, which tests do without",
    "speed, Lambda's own init limit and its lazy image loading: `make smoke URL=...` on an account",
]

Prove = Callable[[Docker, Image], Any]


def proofs_of(image: Image) -> dict[str, Prove]:
    """By the name that the document has for each; they may be run at the same time."""
    found: dict[str, Prove] = {"image": proofs.image}
    if not image.emulated:  # the same files as in the other one
        found["clients"] = proofs.clients
    if image.target == "prologue":
        found["run"] = proofs.prologue
    elif image.target == "model-aten":
        found |= {"run": proofs.aten, "without_sys": proofs.aten_without_sys}
        found |= {"changed_by_new_code": proofs.new_code}
    else:
        found |= {"run": proofs.model, "threads": proofs.threads}
        if image.emulated:
            found |= {"text_without_sys": proofs.text_without_sys}
        else:
            found |= {"with_24_mb": proofs.memory_limit, "changed_by_new_code": proofs.new_code}
    return found


class Proof:
    """What was seen, and when, in seconds since `began`."""

    def __init__(self, docker: Docker, architectures: list[str], began: float) -> None:
        self._docker = docker
        self._architectures = architectures
        self._began = began
        self._images: dict[str, dict[str, Any]] = {}
        self._finished: dict[str, int] = {}

    def whole(self) -> dict[str, Any]:
        """The document. Raises EngineError, AssertionError."""
        with ThreadPoolExecutor(len(self._architectures)) as makers:
            bases = list(makers.map(partial(base, self._docker), self._architectures))
        wanted = [(target, name) for name in self._architectures for target in TARGETS[name]]
        # Images are built one after the other, while earlier ones are proven.
        with ThreadPoolExecutor(1) as builder, ThreadPoolExecutor(os.cpu_count()) as prover:
            pending: set[Future[Image | None]] = {
                builder.submit(build, self._docker, *each) for each in wanted
            }
            try:
                while pending:
                    done, pending = wait(pending, return_when=FIRST_COMPLETED)
                    for image in filter(None, (each.result() for each in done)):
                        self._saw(image, "built", True)
                        todo = proofs_of(image).items()
                        pending |= {prover.submit(self._prove, image, *each) for each in todo}
            finally:
                builder.shutdown(wait=False, cancel_futures=True)
                prover.shutdown(wait=False, cancel_futures=True)
        self._compare()
        return {
            "machine": f"{platform.system()} {platform.machine()}",
            "engine": self._docker("version", "--format", "{{.Server.Version}}").strip(),
            "base": dict(zip(self._architectures, bases, strict=True)),
            "same_text_and_logits_on": self._architectures,
            "images": self._images,
            "finished_at_s": self._finished,
            "proven_elsewhere": ELSEWHERE,
            "seconds": round(time.monotonic() - self._began),
        }

    def _compare(self) -> None:
        models = [self._images[f"model {name}"] for name in self._architectures]
        first = models[0]
        for model in models:
            assert model["run"]["text"] == first["run"]["text"]
            assert model["threads"]["logits_sha256"] == first["threads"]["logits_sha256"]
            assert model.get("text_without_sys", first["run"]["text"]) == first["run"]["text"]

    def _prove(self, image: Image, name: str, prove: Prove) -> None:
        self._saw(image, name, prove(self._docker, image))

    def _saw(self, image: Image, name: str, seen: Any) -> None:
        what = f"{image.target} {image.architecture}"
        self._images.setdefault(what, {})[name] = seen
        at = self._finished[f"{what}: {name}"] = round(time.monotonic() - self._began)
        print(f"{at:5} s  {what}: {name}", file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.image", description=__doc__)
    parser.add_argument("--arch", choices=TARGETS, action="append", help="only this one; default: both")
    began = time.monotonic()
    # What is emulated takes longest, and begins first.
    wanted = parser.parse_args().arch or sorted(TARGETS, key=lambda name: name == native())
    try:
        with container_engine() as docker:
            for architecture in wanted:
                ensure_emulation(docker, architecture)
            document = Proof(docker, wanted, began).whole()
    except (EngineError, NoMirrorError, EmulationError) as error:
        sys.exit(f"error: {error}")
    print(json.dumps(document))


if __name__ == "__main__":
    main()
