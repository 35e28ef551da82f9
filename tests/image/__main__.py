"""`make test-image`: builds the images for both architectures and proves what they do.

The last line is one JSON document. Needs a Docker Engine with buildx, or root on Debian; and for the other
architecture qemu-user, which it registers by itself.
"""

import argparse
import json
import platform
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.image import proofs
from tests.image.base import base
from tests.image.build import Image, build, native
from tests.image.debian import NoMirrorError
from tests.image.emulation import EmulationError, ensure_emulation
from tests.image.engine import Docker, EngineError, container_engine

BOTH = ("amd64", "arm64")
TARGETS = ("model", "prologue")
ELSEWHERE = [
    "ATen's KleidiAI kernels: the image has no torch; tests/test_arm64.py runs them on the same emulated "
    "CPU, and finds that torch packs our very bytes. Proven here: our own kernels, on KleidiAI's layout.",
    "speed, Lambda's own init limit and its lazy image loading: `make smoke URL=...` on an account",
]


class Proof:
    """What was seen, and when, in seconds since `began`. The images are built while earlier ones run."""

    def __init__(self, docker: Docker, architectures: list[str], began: float) -> None:
        self._docker = docker
        self._architectures = architectures
        self._began = began
        self._document: dict[str, dict[str, Any]] = {"images": {}, "runs": {}, "finished_at_s": {}}

    def whole(self) -> dict[str, Any]:
        """The document. Raises EngineError, AssertionError."""
        docker, runs = self._docker, self._document["runs"]
        builder = ThreadPoolExecutor(1)
        wanted = [(target, architecture) for architecture in self._architectures for target in TARGETS]
        built = {each: builder.submit(build, docker, *each) for each in wanted}
        try:
            for target, architecture in wanted:
                image = built[target, architecture].result()
                name = f"{target} {architecture}"
                self._add("images", name, proofs.image(docker, image, target))
                if target == "model":
                    self._add("runs", name, self._model(image))
                else:
                    self._add("runs", name, proofs.prologue(docker, image))
        finally:
            builder.shutdown(cancel_futures=True)
        models = [runs[f"model {architecture}"] for architecture in self._architectures]
        for same in ("text", "logits_sha256"):
            assert len({model[same] for model in models}) == 1, [model[same] for model in models]
        return {
            "machine": f"{platform.system()} {platform.machine()}",
            "engine": docker("version", "--format", "{{.Server.Version}}").strip(),
            "base": {architecture: base(docker, architecture) for architecture in self._architectures},
            "same_text_and_logits_on": self._architectures,
            **self._document,
            "proven_elsewhere": ELSEWHERE,
            "seconds": round(time.monotonic() - self._began),
        }

    def _model(self, image: Image) -> dict[str, Any]:
        docker = self._docker
        seen = proofs.model(docker, image) | proofs.threads(docker, image)
        if image.emulated:
            assert proofs.without_sys(docker, image) == seen["text"]
            return seen | {"same_text_without_sys": True}
        return seen | {
            "with_24_mb": proofs.memory_limit(docker, image),
            "changed_by_new_code": proofs.new_code(docker, image),
        }

    def _add(self, kind: str, name: str, seen: dict[str, Any]) -> None:
        self._document[kind][name] = seen
        at = self._document["finished_at_s"][f"{kind}: {name}"] = round(time.monotonic() - self._began)
        print(f"{at:5} s  {kind}: {name}", file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.image", description=__doc__)
    parser.add_argument("--arch", choices=BOTH, action="append", help="only this one; default: both")
    began = time.monotonic()
    wanted = parser.parse_args().arch or sorted(BOTH, key=lambda name: name != native())
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
