"""Writes down what the default template is, and all permissions, to be looked at in review:

python -m tests.infra.snapshot
"""

from pathlib import Path

import tests.infra.conftest  # noqa: F401  # before aws_cdk

# isort: split
from tests.infra.combinations import FULL
from tests.infra.normal import normal, permissions
from tests.infra.synth import Synth, synth

TEMPLATE = Path(__file__).with_name("template.yaml")
PERMISSIONS = Path(__file__).with_name("permissions.txt")
ALL_PERMISSIONS = Path(__file__).with_name("permissions_full.txt")


def default() -> Synth:
    """As cdk.json has it."""
    return synth(models=["llama3.1-8b"])


if __name__ == "__main__":
    TEMPLATE.write_text(normal(default()), encoding="utf-8")
    PERMISSIONS.write_text(permissions(default()), encoding="utf-8")
    ALL_PERMISSIONS.write_text(permissions(synth(**FULL)), encoding="utf-8")
