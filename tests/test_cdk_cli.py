"""The pinned CDK CLI is one and the same wherever it is named, and comes with its checksum."""

import json
import re
from pathlib import Path

from infra.doctor.tools import CDK_VERSION
from tools.cdk import PIN, environment

REPOSITORY = Path(__file__).parent.parent


def test_every_place_names_the_same_cli() -> None:
    pinned = json.loads((PIN / "package.json").read_text(encoding="utf-8"))["dependencies"]
    assert pinned == {"aws-cdk": CDK_VERSION}
    locked = json.loads((PIN / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    assert locked["node_modules/aws-cdk"]["version"] == CDK_VERSION
    assert locked["node_modules/aws-cdk"]["integrity"].startswith("sha512-")
    text = (REPOSITORY / "requirements.txt").read_text(encoding="utf-8")
    assert set(re.findall(r"aws-cdk@([\d.]+\d)", text)) == {CDK_VERSION}


def test_the_cli_runs_on_the_node_that_pip_brought_and_makes_images_that_lambda_takes() -> None:
    told = environment({"AWS_REGION": "eu-central-1"})
    assert Path(told["PATH"].split(":")[0], "node").exists()
    assert told["BUILDX_NO_DEFAULT_ATTESTATIONS"] == "1"
    assert told["AWS_REGION"] == "eu-central-1"
