"""Before anything imports `aws_cdk`: a Node that it supports, and no validator of CDK's own, whose findings
cfn-lint has too, a good deal faster."""

import os

import infra.node  # noqa: F401

os.environ["CDK_VALIDATION"] = "false"
