"""A child process that is asked one JSON line and answers with one: how two engines take turns in one bench,
each in an interpreter of its own. Standard library only: the other engine's environment imports it too.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

REPOSITORY = Path(__file__).parent.parent


class ChildError(Exception):
    """The child died or refused; the message has what it said last."""


class Child:
    """Starts `command` in the repository. A context manager, which ends the child."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        self._said = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115  closed by __exit__
        self._command = " ".join(command)
        self.process = subprocess.Popen(
            command,
            cwd=REPOSITORY,
            env=os.environ | dict(environment or {}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()
        self._said.close()

    def ask(self, operation: str, **arguments: Any) -> Any:
        """The answer of one operation; ChildError if there is none."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps([operation, arguments]) + "\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            self._said.seek(0)
            last = "".join(self._said.readlines()[-15:])
            raise ChildError(f"{self._command} died at {operation!r}; it said last:\n{last}")
        return json.loads(answer)


def serve(operations: Mapping[str, Callable[..., object]]) -> None:
    """The child's side: answers until stdin ends. What libraries print goes to stderr."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        operation, arguments = json.loads(line)
        answers.write(json.dumps(operations[operation](**arguments)) + "\n")
        answers.flush()
