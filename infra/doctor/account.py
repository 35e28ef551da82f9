"""Whose account it is, where, and whether CDK can deploy into it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from infra.doctor.finding import Finding, blocks, ok, todo
from infra.doctor.tools import CDK
from infra.regions import check_region

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_service_quotas import ServiceQuotasClient
    from mypy_boto3_ssm import SSMClient
    from mypy_boto3_sts import STSClient

CREDENTIALS, BOOTSTRAP = "AWS credentials", "CDK bootstrap"
BOOTSTRAP_VERSION = 8  # what an assembly with container images asks for (aws-cdk-lib 2.275)
BOOTSTRAP_PARAMETER = "/cdk-bootstrap/hnb659fds/version"  # of CDK's default qualifier
EXPIRED = ("ExpiredToken", "ExpiredTokenException", "RequestExpired")
_PATIENCE = Config(connect_timeout=5, read_timeout=20, retries={"total_max_attempts": 2})


@dataclass(kw_only=True)
class Aws:
    """The clients that the doctor needs, all of one session and region."""

    session: boto3.Session = field(default_factory=boto3.Session)

    @property
    def region(self) -> str | None:
        return self.session.region_name

    def sts(self) -> "STSClient":
        return self.session.client("sts", config=_PATIENCE)

    def lambda_(self) -> "LambdaClient":
        return self.session.client("lambda", config=_PATIENCE)

    def quotas(self) -> "ServiceQuotasClient":
        return self.session.client("service-quotas", config=_PATIENCE)

    def ssm(self) -> "SSMClient":
        return self.session.client("ssm", config=_PATIENCE)

    def cloudformation(self) -> "CloudFormationClient":
        return self.session.client("cloudformation", config=_PATIENCE)


def asked(about: str, needs: str, ask: Callable[[], Finding]) -> Finding:
    """What `ask` finds; where AWS doesn't answer it, that. `needs` is the permission that it takes."""
    try:
        return ask()
    except ClientError as error:
        return todo(about, f"not seen: AWS answered {code(error)}", f"look by hand, or have {needs} allowed")
    except BotoCoreError as error:
        return todo(about, f"not seen: no answer from AWS ({type(error).__name__})", "check the network")


def code(error: ClientError) -> str:
    """The name of an AWS error; its text isn't shown to anybody."""
    return error.response.get("Error", {}).get("Code", "an error")


def credentials(aws: Aws) -> Finding:
    """Whose credentials these are. Everything else about the account needs them."""
    how = "aws login (or aws configure sso), then name the profile: export AWS_PROFILE=..."
    try:
        if aws.session.get_credentials() is None:
            return blocks(CREDENTIALS, "there are none", how)
        caller = aws.sts().get_caller_identity()
    except ClientError as error:
        if code(error) in EXPIRED:
            return blocks(CREDENTIALS, "they have expired", "log in again: aws login, or aws sso login")
        return blocks(CREDENTIALS, f"AWS doesn't take them ({code(error)})", how)
    except BotoCoreError as error:
        return blocks(CREDENTIALS, f"AWS can't be asked ({type(error).__name__})", f"check network, or {how}")
    account, who = caller["Account"], caller["Arn"].split(":", 5)[-1]
    if who == "root":
        return todo(
            CREDENTIALS,
            f"account {account}, as its root user: it works, but AWS advises against it",
            "make a user or role with AdministratorAccess for deploys (IAM's console)",
        )
    return ok(CREDENTIALS, f"account {account}, as {who}")


def region(aws: Aws) -> Finding:
    """Where the deploy would go to."""
    if aws.region is None:
        return blocks("Region", "none is chosen", "export AWS_REGION=us-east-1 (or the one nearest to you)")
    try:
        return ok("Region", check_region(aws.region))
    except ValueError as error:
        return blocks("Region", f"{aws.region}: {error}", "export AWS_REGION=...")


def bootstrap(aws: Aws) -> Finding:
    """Whether `cdk bootstrap` has been run for this account and region, and is new enough."""
    return asked(BOOTSTRAP, "ssm:GetParameter", lambda: _bootstrap(aws))


def _bootstrap(aws: Aws) -> Finding:
    ssm, command = aws.ssm(), f"{CDK} bootstrap"
    try:
        version = int(ssm.get_parameter(Name=BOOTSTRAP_PARAMETER)["Parameter"]["Value"])
    except ssm.exceptions.ParameterNotFound:
        return _no_bootstrap(aws, command)
    if version < BOOTSTRAP_VERSION:
        return blocks(BOOTSTRAP, f"version {version} is there, {BOOTSTRAP_VERSION} is needed", command)
    return ok(BOOTSTRAP, f"version {version}")


def _no_bootstrap(aws: Aws, command: str) -> Finding:
    try:
        stacks = aws.cloudformation().describe_stacks(StackName="CDKToolkit")["Stacks"]
    except ClientError:  # the usual case: no such stack
        return blocks(BOOTSTRAP, "not done yet in this account and region", command)
    return blocks(
        BOOTSTRAP,
        f"its stack CDKToolkit is there ({stacks[0]['StackStatus']}), but not what it should have made",
        f"{command}; if that fails, delete the stack CDKToolkit first (CloudFormation's console)",
    )
