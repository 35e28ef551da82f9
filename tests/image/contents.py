"""What is in an image, and what must not be."""

import re
import tarfile
from collections.abc import Iterable

from tests.image.build import Image
from tests.image.engine import Docker

OURS = ("opt/", "var/task/")  # the rest is the base's
TORCH = "torch"
UNWANTED = {
    "a compiler": r"(^|/)bin/(cc|c\+\+|gcc|g\+\+|clang|ld|as|make|zig)(-[\d.]+)?$|/ziglang/",
    TORCH: r"packages/torch/|libtorch",
    "CUDA": r"packages/nvidia/|libcud|libcublas",
    # apt's own empty folders, and the signed list of lists that `apt-get dist-clean` leaves, are Debian's.
    "a cache": r"(^|/)\.cache/."
    r"|var/lib/apt/lists/.*_(Packages|Sources|Contents|Translation)\b"
    r"|var/cache/apt/.*\.(deb|bin)$",
    "a checkpoint, or its downloader": r"\.safetensors$|packages/(huggingface_hub|hf_xet)/",
}
OURS_UNWANTED = {
    "tests": r"/tests?/|/conftest\.py$",
    "sources of the native library": r"/native/[^/]*\.(cpp|h)$",
    "a secret's usual place": r"/\.(env|aws|ssh|netrc|git)(/|$)",
}


def files(docker: Docker, image: Image) -> dict[str, tarfile.TarInfo]:
    """Every file and folder of the image by path."""
    made = docker("create", "--platform", f"linux/{image.architecture}", image.tag).strip()
    try:
        with docker.open("export", made) as export, tarfile.open(fileobj=export.stdout, mode="r|") as archive:
            return {member.name.removeprefix("./"): member for member in archive}
    finally:
        docker("rm", made)


def unwanted(paths: Iterable[str], *, torch: bool = False) -> list[str]:
    """What shouldn't be there, each with its first path; `torch` may, where that is said."""
    paths = list(paths)
    ours = [path for path in paths if path.startswith(OURS)]
    found = []
    for looked_at, patterns in ((paths, UNWANTED), (ours, OURS_UNWANTED)):
        for what, pattern in patterns.items():
            if torch and what == TORCH:
                continue
            if first := next(filter(re.compile(pattern).search, looked_at), None):
                found.append(f"{what}: {first}")
    return found


def unreadable(members: dict[str, tarfile.TarInfo]) -> list[str]:
    """Which of our files Lambda's user could not read."""
    return [
        path
        for path, member in members.items()
        if path.startswith(OURS)
        and not member.issym()
        and member.mode & (0o005 if member.isdir() else 0o004) != (0o005 if member.isdir() else 0o004)
    ]


def uncompiled(paths: Iterable[str]) -> list[str]:
    """Modules of ours without bytecode beside them."""
    ours = {path for path in paths if path.startswith(OURS)}
    compiled = {
        re.sub(r"__pycache__/([^/]+)\.cpython-\d+\.pyc$", r"\1.py", path)
        for path in ours
        if path.endswith(".pyc")
    }
    return sorted(path for path in ours if path.endswith(".py") and path not in compiled)
