"""What a user types after a deploy, run as they are: `make smoke`, `make chat`."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from typing import Any

from local.tickets import Admission
from tests.cloud.stage import Stage
from tools.admittance import Unproven
from tools.cdk import REPOSITORY

SMOKE_S, CHAT_S = 300, 60
ASKED = "or any name you like"  # the first thing that the default world asks for


def smoke(stage: Stage, *options: str, **credentials: str) -> Any:
    """`make smoke`, as a user with an account runs it, but for the wait; its last line. Raises Unproven."""
    command = [sys.executable, "-m", "tools.smoke", stage.websocket, "--no-wait", *options]
    if stage.origin:
        command += ["--page", stage.page, "--origin", stage.origin]
    done = subprocess.run(
        command,
        cwd=REPOSITORY,
        env=_listener(stage.admission, credentials),
        stdout=subprocess.PIPE,
        text=True,
        timeout=SMOKE_S,
        check=False,
    )
    print(done.stdout, flush=True)
    if done.returncode:
        raise Unproven(f"make smoke failed; the light function says:\n{stage.light.log[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def chat(stage: Stage) -> str:
    """`make chat`, until the first question is asked; what it shows. Raises Unproven."""
    command = [sys.executable, "-m", "local.chat", stage.websocket, "--ticket-url", f"{stage.page}/ticket"]
    with subprocess.Popen(
        command,
        cwd=REPOSITORY,
        env=_listener(stage.admission, {"PYTHONUNBUFFERED": "1"}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        late = threading.Timer(CHAT_S, process.kill)
        late.start()
        assert process.stdout
        said = ""
        for line in process.stdout:
            said += line
            if ASKED in line:
                process.communicate("/delete\n/quit\n")
                break
        late.cancel()
    if process.returncode or ASKED not in said:
        raise Unproven(f"make chat came to nothing; it showed:\n{said}")
    return said


def _listener(admission: Admission, more: Mapping[str, str]) -> dict[str, str]:
    """The environment of a program that is let in."""
    shown = {"CURTAIN_CODE": admission.code, "CURTAIN_TOKEN": admission.token}
    return os.environ | {name: value for name, value in shown.items() if value} | dict(more)
