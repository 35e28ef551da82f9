"""A Docker Engine whose builder is BuildKit: the one that runs here, or one started for the tests.

Where none runs, Debian's packages of one are unpacked under `.cache/docker`, not installed, and its daemon
lives there until the last of those who use it at the same time is done.
"""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.image.debian import NoMirrorError, unpack

REPOSITORY = Path(__file__).parents[2]
HOME = REPOSITORY / ".cache" / "docker"
OLDEST = 23  # the first Engine whose own builder knows --build-context
RELEASE = "trixie"  # the first Debian that has one
PACKAGES = ("docker.io", "docker-cli", "docker-buildx", "containerd")
NEEDED = (
    f"this needs a Docker Engine of version {OLDEST} or newer with buildx: install and start one, or run "
    "this as root on Debian, where one is unpacked under .cache/docker and started by itself"
)
START_S = 60


class EngineError(RuntimeError):
    """No engine, or one that failed: the message has what it said."""


@dataclass(frozen=True, eq=False)
class Docker:
    program: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    started_here: bool = False

    def __call__(self, *arguments: str, timeout: float = 120, stdin: str = "", both: bool = False) -> str:
        """Runs `docker ARGUMENTS`; returns what it printed (`both`: errors too). Raises EngineError."""
        try:
            done = subprocess.run(
                [str(self.program), *arguments],
                env=self._all(),
                input=stdin.encode(),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT if both else subprocess.PIPE,
                timeout=timeout,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise EngineError(f"docker {' '.join(arguments[:2])}: {error}") from None
        if done.returncode:
            said = (done.stdout if both else done.stderr).decode(errors="replace")[-4000:]
            raise EngineError(f"docker {' '.join(arguments)}\n{said}")
        return done.stdout.decode(errors="replace")

    def open(self, *arguments: str) -> "subprocess.Popen[bytes]":
        """Runs it, and leaves its standard output to be read."""
        return subprocess.Popen([str(self.program), *arguments], env=self._all(), stdout=subprocess.PIPE)

    def aloud(self, *arguments: str) -> None:
        """As a call, but what it says goes to standard error as it comes."""
        if subprocess.run(
            [self.program, *arguments], env=self._all(), stdout=sys.stderr, check=False
        ).returncode:
            raise EngineError(f"docker {' '.join(arguments)} failed; it said why above")

    def refusal(self) -> str | None:
        """Why no engine can build the images here; None if one can."""
        try:
            version = self("version", "--format", "{{.Server.Version}}", timeout=20).strip()
            self("buildx", "version", timeout=20)
        except EngineError as error:
            return str(error)
        return None if int(version.split(".")[0]) >= OLDEST else f"the engine that runs is {version}"

    def _all(self) -> dict[str, str]:
        return os.environ | dict(self.environment)


@contextmanager
def container_engine() -> Iterator[Docker]:
    """Raises EngineError, with what is needed, if there is none and none can be had."""
    needed = NEEDED
    if program := shutil.which("docker"):
        docker = Docker(Path(program))
        refusal = docker.refusal()
        if refusal is None:
            yield docker
            return
        needed = f"{NEEDED}\nThe one at {program} won't do: {refusal}"
    if sys.platform != "linux" or os.geteuid() or not (shutil.which("apt-get") and shutil.which("dpkg")):
        raise EngineError(needed)
    docker = _ours()
    with (HOME / "users").open("w") as users:
        fcntl.flock(users, fcntl.LOCK_SH)
        with (HOME / "starting").open("w") as starting:
            fcntl.flock(starting, fcntl.LOCK_EX)
            if docker.refusal():
                _start(docker)
        try:
            yield docker
        finally:
            try:
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pass  # somebody else uses it still
            else:
                _stop()


def _ours() -> Docker:
    root = HOME / f"engine-{RELEASE}"
    try:
        if not root.exists():
            print("unpacking a Docker Engine under .cache/docker", file=sys.stderr)
            # runc depends on the C library's version, so that one is the machine's own release's.
            unpack(
                root, {RELEASE: ["docker.io", "docker-cli", "docker-buildx", "containerd"], None: ["runc"]}
            )
    except (NoMirrorError, subprocess.CalledProcessError) as error:
        raise EngineError(f"{NEEDED} ({error})") from None
    plugin = HOME / "config" / "cli-plugins" / "docker-buildx"
    if not plugin.is_symlink():
        plugin.parent.mkdir(parents=True, exist_ok=True)
        plugin.symlink_to(root / "usr/libexec/docker/cli-plugins/docker-buildx")
    programs = f"{root / 'usr/bin'}:{root / 'usr/sbin'}:{os.environ['PATH']}"
    environment = {
        "DOCKER_HOST": f"unix://{HOME / 'docker.sock'}",
        "DOCKER_CONFIG": str(HOME / "config"),
        "PATH": programs,
    }
    return Docker(root / "usr/bin/docker", environment, started_here=True)


def _start(docker: Docker) -> None:
    """A daemon without networks of its own: nothing on the machine is changed."""
    log = HOME / "dockerd.log"
    command: list[str | Path] = [docker.program.parents[1] / "sbin/dockerd"]
    command += ["--host", docker.environment["DOCKER_HOST"], "--pidfile", HOME / "pid"]
    command += ["--data-root", HOME / "data", "--exec-root", HOME / "run"]
    command += ["--bridge=none", "--iptables=false", "--ip6tables=false"]
    with log.open("wb") as out:
        daemon = subprocess.Popen(
            command,
            env=os.environ | dict(docker.environment),
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    until = time.monotonic() + START_S
    while docker.refusal():
        if daemon.poll() is not None or time.monotonic() > until:
            daemon.kill()
            said = "".join(log.read_text(errors="replace").splitlines(keepends=True)[-5:])
            raise EngineError(f"{NEEDED}\nThe daemon that was started here says:\n{said}")
        time.sleep(0.3)


def _stop() -> None:
    path = HOME / "pid"
    pid = int(path.read_text())
    os.kill(pid, signal.SIGTERM)
    until = time.monotonic() + START_S
    while path.exists() and time.monotonic() < until:  # it removes the file last
        time.sleep(0.1)
    subprocess.run(["umount", HOME / "run/netns/default"], capture_output=True, check=False)
