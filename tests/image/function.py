"""An image in a container, as Lambda runs it, with Amazon's emulator in front.

An unprivileged user on a read-only root, 512 MB of /tmp, no shared memory, no network, no capabilities, 1,024
files and processes, the function's memory and not a byte more, none of the host's /sys.
"""

import json
import os
import re
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

from tests.arm64.instructions import logged
from tests.image.base import base
from tests.image.build import Image, native
from tests.image.engine import Docker

PATH = "/2015-03-31/functions/function/invocations"
INVOKE_S = 600  # a torch that is emulated, traced and not alone takes minutes
START_S = 60  # until the emulator listens, itself emulated maybe
ALIKE = (
    *("--read-only", "--ipc", "none", "--tmpfs", "/tmp:rw,exec,size=512m,mode=1777"),
    *("--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
    *("--pids-limit", "1024", "--ulimit", "nofile=1024:1024"),
)
ENTRY = "/usr/local/bin/lambda-entry"  # the images' own
CPU = "neoverse-n1"  # Graviton2's core: what an emulated arm64 container is to see
CALL = """
import sys, time, urllib.error, urllib.request
event, until = sys.stdin.buffer.read(), time.monotonic() + 60
while True:
    try:
        answer = urllib.request.urlopen(sys.argv[1], event, timeout=float(sys.argv[2]))
    except urllib.error.HTTPError as error:
        answer = error
    except urllib.error.URLError:
        if time.monotonic() > until:
            raise
        time.sleep(0.2)
        continue
    sys.stdout.buffer.write(answer.read())
    break
"""


@dataclass(frozen=True)
class Function:
    docker: Docker
    name: str
    port: int | None

    @property
    def url(self) -> str:
        """Where events are posted; the emulator takes one at a time, or dies."""
        return f"http://127.0.0.1:{self.port or 8080}{PATH}"

    def invoke(self, event: Mapping[str, Any]) -> Any:
        """What the handler returns, or `{"errorMessage": ..., "errorType": ...}`."""
        if self.port is None:  # nothing outside reaches it: a container beside it does
            client = ("run", "--rm", "-i", "--network", f"container:{self.name}", "--entrypoint", "python")
            image = base(self.docker, native())
            call = (*client, image, "-c", CALL, self.url, str(INVOKE_S))
            answer = self.docker(*call, stdin=json.dumps(event), timeout=INVOKE_S + 60)
        else:
            try:
                with urllib.request.urlopen(
                    self.url, json.dumps(event).encode(), timeout=INVOKE_S
                ) as response:
                    answer = response.read().decode()
            except urllib.error.HTTPError as error:
                answer = error.read().decode()
        return json.loads(answer)

    def log(self) -> str:
        return self.docker("logs", self.name, both=True)

    def init_s(self) -> float:
        """How long the last init took, by the emulator's own report."""
        return float(re.findall(r"INIT REPORT\(durationMs: ([\d.]+)", self.log())[-1]) / 1000

    def peak_bytes(self) -> int | None:
        """The most memory that the container's group had; None where the kernel is another machine's."""
        pid = self.docker("inspect", "--format", "{{.State.Pid}}", self.name).strip()
        try:
            groups = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
        except OSError:
            return None
        for line in groups:
            _, kinds, path = line.split(":", 2)
            version_1 = Path(f"/sys/fs/cgroup/memory{path}/memory.max_usage_in_bytes")
            found = version_1 if kinds == "memory" else Path(f"/sys/fs/cgroup{path}/memory.peak")
            if (kinds in ("", "memory")) and found.exists():
                return int(found.read_text())
        return None

    def stop(self) -> int:
        """Sends SIGTERM; returns the exit status, 137 if only SIGKILL ended it."""
        self.docker("stop", "--time", "20", self.name)
        return int(self.docker("inspect", "--format", "{{.State.ExitCode}}", self.name))


@contextmanager
def running(
    docker: Docker,
    image: Image,
    *,
    port: int | None = None,
    environment: Mapping[str, str] | None = None,
    memory_mb: int | None = None,
    sys: Path | None = None,
    trace: Path | None = None,
) -> Iterator[Function]:
    """A container that takes invokes. Raises EngineError.

    Args:
        port: of this machine's loopback, whose network it then shares (Linux); None: it has no network.
        environment: the function's.
        memory_mb: not a byte more; default: what a deploy gives it.
        sys: what it sees as /sys; default: what the image brings.
        trace: a folder that its user may write to: QEMU's log of each process, by its number, is left there.
    """
    name = f"curtain-{uuid4().hex[:8]}"
    memory_mb = memory_mb or image.memory_mb
    settings = {
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(memory_mb),
        **(environment or {}),
        **(logged("/trace/%d") if trace else {}),
    }
    emulator = "/usr/local/bin/aws-lambda-rie"
    command: tuple[str, ...] = ()
    entry: tuple[str, ...] = ()
    if port is not None:
        entry = ("--entrypoint", emulator)
        (handler,) = json.loads(docker("image", "inspect", "--format", "{{json .Config.Cmd}}", image.tag))
        places = ("--runtime-interface-emulator-address", f"127.0.0.1:{port}")
        command = (*places, "--runtime-api-address", f"127.0.0.1:{_free()}", ENTRY, handler)
        settings.setdefault("AWS_LAMBDA_FUNCTION_TIMEOUT", "900")
    with _own_sys(docker, image, sys) as shown:
        given = [part for setting in settings.items() for part in ("--env", "=".join(setting))]
        network = ("--network", "none" if port is None else "host")
        run = ("run", "--detach", "--name", name, *network, *_limits(memory_mb), *given, *entry)
        try:
            seen = ("--volume", f"{trace}:/trace") if trace else ()
            docker(*run, *seen, *alike(image, shown), image.tag, *command)
            if port is not None:
                _await(port)
            yield Function(docker, name, port)
        finally:
            docker("rm", "--force", name)


def once(
    docker: Docker, image: Image, *command: str, sys: Path | None = None, script: Path | None = None
) -> str:
    """What a Python command prints in such a container; `script` is a file that it sees as /script.py."""
    mounts = ("--volume", f"{script}:/script.py:ro") if script else ()
    path = ("--env", "PYTHONPATH=/opt/packages:/var/task")
    with _own_sys(docker, image, sys) as shown:
        run = ("run", "--rm", "--network", "none", *_limits(image.memory_mb), *path, *mounts)
        python = (*alike(image, shown), "--entrypoint", "python", image.tag, *command)
        return docker(*run, *python, timeout=INVOKE_S, both=True)


def alike(image: Image, sys: Path) -> tuple[str, ...]:
    """`docker run`'s options for a container like Lambda's, except for memory and network."""
    cpu = ("--env", f"QEMU_CPU={CPU}") if image.emulated and image.architecture == "arm64" else ()
    return (*ALIKE, "--platform", f"linux/{image.architecture}", "--volume", f"{sys}:/sys:ro", *cpu)


def _limits(memory_mb: int) -> tuple[str, ...]:
    return ("--memory", f"{memory_mb}m", "--memory-swap", f"{memory_mb}m")


@contextmanager
def _own_sys(docker: Docker, image: Image, sys: Path | None) -> Iterator[Path]:
    """A copy of the image's own /sys: engines put the host's over it, which Lambda doesn't have."""
    if sys is not None:
        yield sys
        return
    with TemporaryDirectory() as scratch:
        os.chmod(scratch, 0o755)
        made = docker("create", "--platform", f"linux/{image.architecture}", image.tag).strip()
        try:
            docker("cp", f"{made}:/sys", f"{scratch}/sys")
        finally:
            docker("rm", made)
        yield Path(scratch) / "sys"


def _await(port: int) -> None:
    """Returns once something listens. Raises ConnectionError."""
    until = time.monotonic() + START_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > until:
                raise ConnectionError(f"nothing listens on port {port}") from None
        time.sleep(0.1)


def _free() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])
