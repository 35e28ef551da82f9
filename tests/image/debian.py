"""Debian packages of any release and architecture, unpacked into a folder: nothing is installed or run."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


class NoMirrorError(RuntimeError):
    """This machine's apt knows no Debian mirror, or not Debian's keys."""


def mirror() -> str:
    """The address that this machine's own apt has Debian from. Raises NoMirrorError."""
    found = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Identifier: Packages"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout.split()
    debian = [uri for uri in found if re.search(r"/debian/?$", uri)]
    if not debian or not KEYRING.exists():
        raise NoMirrorError("no Debian mirror among apt's sources, or no package debian-archive-keyring")
    return debian[0]


def unpack(root: Path, packages: Mapping[str | None, Sequence[str]]) -> None:
    """Makes the folder `root` of packages by release (None: this machine's own), without what they depend on.

    Raises NoMirrorError, CalledProcessError; then there is no folder.
    """
    root.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=root.parent) as scratch:
        whole = Path(scratch) / "root"
        for release, names in packages.items():
            debs = Path(scratch) / (release or "own")
            debs.mkdir()
            options = ["-qq", "-o", "APT::Sandbox::User=root", *(_options(release, debs) if release else ())]
            if release:
                subprocess.run(["apt-get", *options, "update"], check=True)
            subprocess.run(["apt-get", *options, "download", *names], cwd=debs, check=True)
            for deb in debs.glob("*.deb"):
                subprocess.run(["dpkg", "-x", deb, whole], check=True)
        whole.rename(root)


def bootstrap(root: Path, release: str, architecture: str, packages: Sequence[str]) -> None:
    """Makes the folder `root` of packages and all that they depend on. Raises as `unpack`."""
    if shutil.which("mmdebstrap") is None:
        raise NoMirrorError("mmdebstrap is missing: apt-get install mmdebstrap")
    partial = root.with_name(f"{root.name}.{os.getpid()}")
    source = f"deb [arch={architecture}] {mirror()} {release} main"
    command = ["mmdebstrap", "--quiet", "--variant=extract", "--mode=root", "--skip=check/qemu"]
    command += [
        f"--architectures={architecture}",
        f"--include={','.join(packages)}",
        release,
        str(partial),
        source,
    ]
    try:
        subprocess.run(command, check=True)
        partial.rename(root)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _options(release: str, folder: Path) -> list[str]:
    """apt's, for lists of its own about one release."""
    sources = folder / "sources.list"
    sources.write_text(f"deb [signed-by={KEYRING}] {mirror()} {release} main\n")
    (folder / "lists/partial").mkdir(parents=True)
    settings = {
        "Dir::Etc::sourcelist": sources,
        "Dir::Etc::sourceparts": "-",
        "Dir::State::lists": folder / "lists",
        "Dir::Cache::pkgcache": "",
        "Dir::Cache::srcpkgcache": "",
        "Acquire::Languages": "none",
    }
    return [part for name, value in settings.items() for part in ("-o", f"{name}={value}")]
