"""The base image: the Dockerfile's own if a registry can be reached, else a stand-in of Debian's packages."""

import re
import shutil
import subprocess
import sys
from functools import cache
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.image.debian import NoMirrorError, bootstrap
from tests.image.engine import REPOSITORY, Docker, EngineError

DOCKERFILE = REPOSITORY / "lambda_image" / "Dockerfile"
RELEASE = "trixie"  # its Python is of the base's version
PACKAGES = (
    *("base-files", "base-passwd", "bash", "coreutils", "dash", "findutils", "grep", "libc-bin", "sed"),
    *("libstdc++6", "python3"),
)
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


@cache
def base(docker: Docker, architecture: str) -> str:
    """The name to build on. Raises EngineError, NoMirrorError."""
    wanted = re.search(r"^ARG BASE=(\S+)$", DOCKERFILE.read_text(), re.MULTILINE)
    assert wanted, f"{DOCKERFILE} has no ARG BASE"
    try:
        docker("buildx", "imagetools", "inspect", wanted[1], timeout=30)
        return wanted[1]
    except EngineError as error:
        refused = error
    recipe = sha256(Path(__file__).read_bytes()).hexdigest()[:8]
    name = f"curtain-base:{architecture}-{recipe}"
    try:
        docker("image", "inspect", name)
    except EngineError:
        print(f"no {wanted[1]} to be had: making a stand-in, {architecture}", file=sys.stderr)
        try:
            _stand_in(docker, architecture, name)
        except NoMirrorError as error:
            raise NoMirrorError(f"{refused}\nand no stand-in can be made: {error}") from None
    return name


def _stand_in(docker: Docker, architecture: str, name: str) -> None:
    with TemporaryDirectory() as scratch:
        root = Path(scratch) / "root"
        bootstrap(root, RELEASE, architecture, PACKAGES)
        for kind in ("passwd", "group"):
            shutil.copy(root / f"usr/share/base-passwd/{kind}.master", root / f"etc/{kind}")
        (library,) = (root / "usr/lib").glob("python3.*")
        (library / "EXTERNALLY-MANAGED").unlink(missing_ok=True)
        packages = root / f"usr/local/lib/{library.name}/dist-packages"
        pip = find_spec("pip")
        assert pip, "this Python has no pip"
        assert pip.origin
        shutil.copytree(
            Path(pip.origin).parent, packages / "pip", ignore=shutil.ignore_patterns("__pycache__")
        )
        (root / "usr/local/bin").mkdir()
        (root / "usr/local/bin/python").symlink_to("/usr/bin/python3")
        # What this machine trusts: packages may come through something that only it knows.
        (root / "etc/ssl/certs").mkdir(parents=True, exist_ok=True)
        shutil.copy(CERTIFICATES, root / "etc/ssl/certs")
        (root / "etc/pip.conf").write_text(f"[global]\ncert = {CERTIFICATES}\n")
        archive = Path(scratch) / "root.tar"
        skipped = [f"--exclude=./{folder}/*" for folder in ("dev", "proc", "sys", "var/cache", "var/lib/apt")]
        subprocess.run(["tar", "-C", root, *skipped, "-cf", archive, "."], check=True)
        platform = ("--platform", f"linux/{architecture}")
        docker("import", *platform, "--change", "ENV PATH=/usr/local/bin:/usr/bin:/bin", str(archive), name)
