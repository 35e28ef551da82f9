"""The model function on emulated arm64 CPUs, as Lambda runs it: Graviton2's core (Neoverse N1: SDOT), and a
newer one (SMMLA). Run as root, with qemu-user and mmdebstrap; what is made is kept in .cache/arm64.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from shutil import which
from typing import Any

import numpy as np
import pytest

from lambda_image.engine.bundle.load import open_bundle
from lambda_image.engine.convert.ensure import ensure_bundle
from lambda_image.engine.generation.cache import KVCache
from lambda_image.engine.kernels import open_decoder
from lambda_image.engine.native.build import build
from lambda_image.engine.native.target import Target
from tests.arm64.instructions import dot_products
from tests.arm64.serve import IDS

pytestmark = pytest.mark.emulated

REPOSITORY = Path(__file__).parent.parent
HERE = REPOSITORY / "tests" / "arm64"
IMAGE = REPOSITORY / "lambda_image"
CACHE = REPOSITORY / ".cache"
N1, NEWER = "neoverse-n1", "max,pauth-impdef=on"  # the latter without its slow emulation of pointer signing
PYTHON = "/usr/bin/python3"

Run = Callable[..., tuple[dict[str, Any], str]]


@pytest.fixture(scope="session")
def bundle() -> Path:
    return ensure_bundle(
        REPOSITORY / "models" / "demo",
        CACHE / "bundles",
        worlds=[REPOSITORY / "prologue" / "worlds" / "emerald-city"],
    )


@pytest.fixture(scope="session")
def run(bundle: Path) -> Run:
    """Runs a script of this folder on a CPU; returns its last line as JSON, and its log."""
    missing = [name for name in ("qemu-aarch64-static", "mmdebstrap", "unshare") if which(name) is None]
    assert not missing, f"install {', '.join(missing)} (apt-get install qemu-user-static mmdebstrap)"
    assert os.getuid() == 0, "chroot and mount need root: run these tests as root, in a container for example"
    build(Target("aarch64"))
    parts = [HERE / "rootfs.sh", IMAGE / "requirements.lock", IMAGE / "requirements-build.txt"]
    root = CACHE / "arm64" / hashlib.sha256(b"".join(part.read_bytes() for part in parts)).hexdigest()[:12]
    if not root.exists():
        subprocess.run([HERE / "rootfs.sh", root, sys.executable], check=True)

    def run(cpu: str, script: str, *arguments: str, **environment: str) -> tuple[dict[str, Any], str]:
        places = map(str, (HERE / "run.sh", root, REPOSITORY, bundle))
        done = subprocess.run(
            [*places, cpu, PYTHON, f"/curtain/{script}", *arguments],
            env=os.environ | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1]), done.stderr

    return run


@pytest.fixture(scope="session")
def here(bundle: Path) -> np.ndarray:
    """The demo model's logits on this machine's own kernels."""
    opened = open_bundle(bundle)
    decoder = open_decoder(opened, threads=2, setting="native")
    return np.array(decoder.forward(IDS, KVCache(opened.manifest.config, 64), every_position=True))


@pytest.mark.parametrize(("cpu", "kernels"), [(N1, "native/sdot"), (NEWER, "native/smmla")])
def test_the_native_kernels_serve_without_torch_and_give_the_bits_of_this_machine(
    run: Run, here: np.ndarray, cpu: str, kernels: str
) -> None:
    found, _ = run(cpu, "tests/arm64/serve.py", "/bundle", "6")
    assert found["about"]["kernels"] == kernels
    assert found["about"]["golden"]["passed"] is True
    assert found["logits_sha256"] == hashlib.sha256(here.tobytes()).hexdigest()
    assert found["about"]["threads"] == 6
    assert found["busy_threads"] >= 6
    assert not found["torch_loaded"]
    assert found["user"] != 0
    assert found["text"]


def test_aten_serves_the_same_bundle_on_kleidiai(run: Run, here: np.ndarray) -> None:
    found, log = run(N1, "tests/arm64/serve.py", "/bundle", "6", CURTAIN_KERNELS="aten")
    assert found["about"]["kernels"] == "aten/kleidiai"
    assert found["about"]["golden"]["passed"] is True
    assert found["busy_threads"] >= 6
    assert found["torch_loaded"]
    assert not re.search("WARNING|ERROR", log)
    theirs = np.array(found["logits"])
    assert np.linalg.norm(theirs - here[-1]) < 0.2 * np.linalg.norm(here[-1])


def test_without_the_image_s_cpu_files_aten_says_that_kleidiai_is_gone_and_the_cure(run: Run) -> None:
    found, log = run(N1, "tests/arm64/serve.py", "/bundle", "6", CURTAIN_KERNELS="aten", NO_SYS="1")
    assert found["about"]["kernels"] != "aten/kleidiai"
    assert re.search(r"ERROR.*/sys/devices/system/cpu", log)


@pytest.mark.parametrize(("cpu", "instruction"), [(N1, "sdot"), (NEWER, "smmla")])
def test_aten_packs_our_bytes_and_multiplies_them_with_this_cpu_s_instructions(
    run: Run, tmp_path: Path, cpu: str, instruction: str
) -> None:
    trace = tmp_path / "instructions"
    found, _ = run(cpu, "tests/arm64/kleidiai.py", INSTRUCTIONS=str(trace))
    assert found["packed_dtype"] == "uint8"
    assert found["same_bytes"] == [True] * 4
    assert max(found["relative_errors"]) < 0.01
    counts = dot_products(trace)
    assert counts.pop(instruction) > 0
    assert set(counts.values()) == {0}
