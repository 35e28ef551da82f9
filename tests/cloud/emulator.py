"""AWS on this machine: MiniStack, a child process on loopback with everything that a stack is made of.

The custom resource that fills the page's bucket runs there as a process, where it expects the AWS CLI under
/opt, as its layer would put it. It gets one there, in a mount namespace of its own: the machine's /opt stays
as it is. The one that empties a bucket expects what Lambda's Node has (`runtime/`).
"""

import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import boto3

from local.lambda_service import launch
from tests.house import free_port
from tools.cdk import REPOSITORY, environment
from tools.npm import installed

REGION = "us-east-1"
ACCOUNT = "000000000000"
START_S = 60.0
STOP_S = 15.0
RUNTIME = Path(__file__).parent / "runtime"
IN_PRIVATE = 'mount --bind "$1" /opt && shift && exec "$@"'


class EmulatorError(RuntimeError):
    """No emulated AWS can be had here; the message says what is missing."""


class EmulatedAws:
    """See `emulated_aws`."""

    def __init__(self, scratch: Path) -> None:
        port = free_port()
        self.endpoint = f"http://127.0.0.1:{port}"
        self._log = scratch / "aws.log"
        self._buckets = scratch / "s3"
        self._opt = scratch / "opt"
        self._process: subprocess.Popen[bytes] | None = None
        self._enforcing = False
        self._settings = {
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(port),
            "IOT_MTLS_ENABLED": "0",  # else it listens on a second port
            "PERSIST_STATE": "1",  # so that it can be started again
            "STATE_DIR": str(scratch / "state"),
            "S3_PERSIST": "1",
            "S3_DATA_DIR": str(self._buckets),
            "TMPDIR": str(scratch),
            "NODE_PATH": str(installed(RUNTIME, REPOSITORY / ".cache" / "emulated-runtime")),
        }

    @property
    def log(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    @property
    def variables(self) -> Mapping[str, str]:
        """What a program needs to take it for AWS, and be its account's root there."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_SESSION_TOKEN": "",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(
        self, service: str, credentials: Mapping[str, str] | None = None, *, endpoint: str | None = None
    ) -> Any:
        """boto3's, of root or of whose credentials these are; untyped, because there are 400 types of it."""
        keys = credentials or self.variables
        return boto3.client(
            service,  # type: ignore[call-overload]
            endpoint_url=endpoint or self.endpoint,
            region_name=REGION,
            aws_access_key_id=keys["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=keys["AWS_SECRET_ACCESS_KEY"],
            aws_session_token=keys["AWS_SESSION_TOKEN"] or None,
        )

    def enforce(self, on: bool) -> None:
        """Whether roles may do what their policies say and no more, or anything. Needs a restart, from which
        everything comes back. Raises EmulatorError."""
        if on == self._enforcing:
            return
        self._forget_deleted_buckets()
        self.stop()
        self.start(enforcing=on)

    def start(self, *, enforcing: bool = False) -> None:
        """Raises EmulatorError."""
        self._enforcing = enforcing
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, launch.__file__, str(os.getpid())),
                    *_in_private(str(self._opt), sys.executable, "-m", "ministack"),
                ],
                env=environment({**self._settings, "AUTH": str(enforcing).lower()}),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        until = time.monotonic() + START_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > until:
                raise EmulatorError(
                    "the emulated AWS did not start. It needs the right to make a mount namespace: root, or "
                    f"a kernel that lets users have namespaces. It said:\n{self.log[-2000:]}"
                )
            time.sleep(0.1)

    def stop(self) -> None:
        """Lets it write down what there is; a custom resource that hangs would keep it from going."""
        if self._process is None:
            return
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=STOP_S)
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _forget_deleted_buckets(self) -> None:
        """MiniStack keeps the folder of a bucket that CloudFormation has deleted, and would find it again."""
        known = {bucket["Name"] for bucket in self.client("s3").list_buckets()["Buckets"]}
        for folder in (self._buckets / ACCOUNT).iterdir():
            if folder.name not in known:
                shutil.rmtree(folder)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.endpoint}/_ministack/health", timeout=5):
                return True
        except OSError:
            return False


@contextmanager
def emulated_aws(scratch: Path, cli_layer: Path) -> Iterator[EmulatedAws]:
    """Starts it with nothing in it.

    Args:
        cli_layer: the zip of the AWS CLI that CDK brings for its bucket deployments.

    Raises EmulatorError, NpmError.
    """
    aws = EmulatedAws(scratch)
    _unpack(cli_layer, scratch / "opt")
    try:
        aws.start()
        yield aws
    finally:
        aws.stop()


def _in_private(opt: str, *command: str) -> list[str]:
    """`command` where /opt is another folder. Who isn't root is it inside."""
    program = shutil.which("unshare")
    if program is None:
        raise EmulatorError("the emulated AWS needs Linux and util-linux's unshare")
    user = [] if os.geteuid() == 0 else ["--map-root-user"]
    return [program, "--mount", *user, "sh", "-c", IN_PRIVATE, "sh", opt, *command]


def _unpack(layer: Path, folder: Path) -> None:
    """The layer as Lambda would unpack it, except that its program is run by this Python."""
    with zipfile.ZipFile(layer) as archive:
        archive.extractall(folder)
    program = folder / "awscli" / "aws"
    _, rest = program.read_text(encoding="utf-8").split("\n", 1)
    program.write_text(f"#!{sys.executable}\n{rest}", encoding="utf-8")
    program.chmod(0o755)
