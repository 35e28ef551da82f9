"""Runs the pinned CDK CLI: `python -m tools.cdk deploy -c curtain:models=demo`.

The CLI is npm's (`tools/cdk_cli/`), installed under .cache when it is first asked for and again when its pin
changes; the Node it runs on is pip's. What is about an account and not about our stack (`bootstrap`, `gc`)
needs no app, and so no model that has been made.
"""

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tools.npm import NODE, NpmError, installed, path

REPOSITORY = Path(__file__).parent.parent
PIN = Path(__file__).parent / "cdk_cli"
HOME = REPOSITORY / ".cache" / "cdk"
QUIET = {
    "BUILDX_NO_DEFAULT_ATTESTATIONS": "1",  # they would make an image index, which Lambda refuses
    "CDK_VALIDATION": "false",  # CloudFormation's own validator: a minute for what cfn-lint finds in seconds
    "CDK_DISABLE_CLI_TELEMETRY": "true",
    "CDK_DISABLE_VERSION_CHECK": "true",
}
OF_ACCOUNT = ("bootstrap", "gc")


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """What the CLI runs with: this process's, our settings, and pip's Node before any other."""
    return os.environ | QUIET | {"PATH": path()} | dict(more or {})


def cli() -> list[str]:
    """The command, installed if it isn't yet. Raises NpmError."""
    return [str(NODE / "bin" / "node"), str(installed(PIN, HOME) / "aws-cdk" / "bin" / "cdk")]


def run(*arguments: str, **more: str) -> int:
    """Runs it in the repository's root, with `more` in its environment; returns its exit status."""
    return subprocess.call([*cli(), *arguments], cwd=REPOSITORY, env=environment(more))


def empty_app(stack: str) -> str:
    """The command of an app with nothing in a stack of this name: all that the CLI sometimes has to know."""
    return shlex.join([sys.executable, "-m", "tools.empty_app", stack])


def main(arguments: Sequence[str]) -> int:
    """Returns the CLI's exit status."""
    if arguments and arguments[0] in OF_ACCOUNT and "--app" not in arguments:
        arguments = [*arguments, "--app", empty_app("Curtain")]
    try:
        return run(*arguments)
    except NpmError as error:
        print(f"curtain: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
