"""The CDK app: `cdk synth`, `cdk deploy`. Its options are in cdk.json and docs/deploy.md."""

import sys

import infra.node  # noqa: F401  # before aws_cdk, which runs on it

# isort: split
import aws_cdk as cdk

from infra.context import OptionsError, read_options
from infra.curtain_stack import CurtainStack
from prologue.world import WorldError

app = cdk.App()
try:
    options = read_options(app.node.get_all_context())
    env = cdk.Environment(region=options.region) if options.region else None
    CurtainStack(app, options.stack, options=options, env=env)
except (OptionsError, WorldError) as error:
    sys.exit(f"{error}\n")
app.synth()
