"""The default deployment, down to its last line, and by other people's rules."""

import json
import tomllib
from pathlib import Path
from typing import Any

import cdk_nag
import pytest
from aws_cdk import Validations
from cfnlint.api import ManualArgs, lint  # type: ignore[import-untyped]

from tests.infra.combinations import FULL, OTHERWISE
from tests.infra.normal import normal, permissions
from tests.infra.snapshot import ALL_PERMISSIONS, PERMISSIONS, TEMPLATE, default
from tests.infra.synth import make_app, synth

ACKNOWLEDGED = Path(__file__).with_name("acknowledged.toml")
UPDATE = "if it is meant: python -m tests.infra.snapshot"


def test_the_template_is_the_one_that_was_reviewed() -> None:
    assert normal(default()) == TEMPLATE.read_text(encoding="utf-8"), UPDATE


def test_every_permission_is_one_that_was_reviewed() -> None:
    assert permissions(default()) == PERMISSIONS.read_text(encoding="utf-8"), UPDATE
    assert permissions(synth(**FULL)) == ALL_PERMISSIONS.read_text(encoding="utf-8"), UPDATE


def test_no_role_of_any_option_may_do_everything() -> None:
    written = permissions(synth(**FULL)).splitlines()
    everywhere = {line.split(": ", 1)[1].removesuffix(" on *") for line in written if line.endswith(" on *")}
    assert everywhere == {
        *("xray:PutTraceSegments", "xray:PutTelemetryRecords"),  # traces have no resource to name
        *("cloudfront:CreateInvalidation", "cloudfront:GetInvalidation"),  # CDK's own, for the page's files
        "ec2:AssignPrivateIpAddresses",  # what AWS's policy for functions in a VPC has
        "ec2:CreateNetworkInterface",
        "ec2:DeleteNetworkInterface",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeSubnets",
        "ec2:UnassignPrivateIpAddresses",
    }
    assert not [line for line in written if ": * on" in line or ":* on" in line]


@pytest.mark.parametrize("options", [{}, FULL, OTHERWISE], ids=["default", "full", "otherwise"])
def test_cfn_lint_finds_nothing(options: dict[str, object]) -> None:
    text = json.dumps(synth(**options).template)
    # W3005: CDK writes dependencies down that the template has anyway.
    found = lint(text, config=ManualArgs(regions=["us-east-1", "eu-central-1"], ignore_checks=["W3005"]))
    assert [f"{match.rule.id} {match.message} {match.path}" for match in found] == []


def test_cdk_nag_finds_what_is_acknowledged_and_nothing_else(tmp_path: Path) -> None:
    found = _findings(tmp_path / "full", FULL | {"access_logs": "off"})
    found |= _findings(tmp_path / "otherwise", OTHERWISE)
    acknowledged = tomllib.loads(ACKNOWLEDGED.read_text(encoding="utf-8"))["acknowledged"]
    assert found == {(each["rule"], place) for each in acknowledged for place in each["at"]}
    assert all(each["because"] for each in acknowledged)


def _findings(folder: Path, options: dict[str, Any]) -> set[tuple[str, str]]:
    """Rule and construct."""
    app, _ = make_app(folder, options)
    Validations.of(app).add_plugins(cdk_nag.AwsSolutionsChecks(app))
    with pytest.raises(RuntimeError, match="ValidationFailed"):  # it counts what is acknowledged here too
        app.synth()
    report = json.loads((folder / "validation-report.json").read_text(encoding="utf-8"))
    return {
        (violation["ruleName"].removeprefix("AwsSolutions-"), _place(construct["constructPath"]))
        for plugin in report["pluginReports"]
        for violation in plugin["violations"]
        for construct in violation["violatingConstructs"]
    }


def _place(path: str) -> str:
    """The construct, without the names of models and of CDK's singletons."""
    parts = path.removeprefix("Curtain/").removesuffix("/Resource").split("/")
    first = "Model" if parts[0].startswith("Model-") else parts[0].split("8693BB64")[0]
    return "/".join([first, *parts[1:]])
