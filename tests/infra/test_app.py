"""`app.py` as the CDK CLI runs it."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

from tests.infra.synth import REPOSITORY, bundles


def run_app(out: Path, **options: Any) -> "subprocess.CompletedProcess[str]":
    context = {f"curtain:{name}": value for name, value in options.items()}
    return subprocess.run(
        [sys.executable, "app.py"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        env=os.environ | {"CDK_OUTDIR": str(out), "CDK_CONTEXT_JSON": json.dumps(context)},
    )


def test_the_app_synthesizes_what_it_is_told(tmp_path: Path) -> None:
    done = run_app(tmp_path, models="demo", bundles=str(bundles()), stack="Tales", region="eu-central-1")
    assert done.returncode == 0, done.stderr
    assert "end-of-life" not in done.stderr  # it runs on the Node that pip installed
    manifest = json.loads((tmp_path / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["artifacts"]["Tales"]["environment"] == "aws://unknown-account/eu-central-1"
    assert (tmp_path / "Tales.template.json").is_file()


def test_mistakes_are_lines_and_no_traceback(tmp_path: Path) -> None:
    done = run_app(tmp_path, models="demo", bundles=str(tmp_path), auth="?", capacity="none")
    assert done.returncode == 1
    assert [line.split(": ")[0] for line in done.stderr.split("\n") if line] == [
        "curtain:capacity",
        "curtain:auth",
    ]


def test_types_are_checked_of_every_service_that_is_used() -> None:
    """mypy skips the other services of aws_cdk, and with them whatever is said to them."""
    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    modules = [part["module"] for part in settings["tool"]["mypy"]["overrides"]]
    code = "".join(path.read_text(encoding="utf-8") for path in (REPOSITORY / "infra").rglob("*.py"))
    used = {f"aws_cdk.{service}" for service in re.findall(r"from aws_cdk import (aws_\w+)", code)}
    used |= set(re.findall(r"from (aws_cdk\.\w+) import", code))
    assert ["aws_cdk", *sorted(used)] in modules
