"""An app with an empty stack: `cdk destroy` asks an app for names only, so no bundle is needed."""

import sys

import infra.node  # noqa: F401  # before aws_cdk, which runs on it

# isort: split
import aws_cdk as cdk

app = cdk.App()
cdk.Stack(app, sys.argv[1])
app.synth()
