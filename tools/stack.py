"""The deployed stack, as CloudFormation knows it: for the commands that come after `make deploy`."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any

import boto3
import typer
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError, NoRegionError

from infra.context import PREFIX
from infra.doctor.account import code
from infra.doctor.wanted import Wanted, parse_context, read_wanted

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudformation.type_defs import StackTypeDef

Context = Annotated[
    list[str] | None, typer.Option("--context", "-c", help="KEY=VALUE, as for cdk deploy (repeatable).")
]
ELSEWHERE = f'ARGS="-c {PREFIX}region=… -c {PREFIX}stack=…"'


class NotDeployed(Exception):
    """There is no such stack, or nothing came of it; the message says where it was looked for."""


@dataclass(frozen=True)
class Deployed:
    name: str
    session: boto3.Session

    @property
    def cloudformation(self) -> "CloudFormationClient":
        return self.session.client("cloudformation")

    @property
    def region(self) -> str:
        return self.session.region_name

    @cached_property
    def stack(self) -> "StackTypeDef | None":
        """As it was when it was first looked at; None if there is none. Raises botocore's errors."""
        try:
            (stack,) = self.cloudformation.describe_stacks(StackName=self.name)["Stacks"]
        except ClientError as error:
            if code(error) != "ValidationError":
                raise
            return None
        return stack

    @cached_property
    def outputs(self) -> Mapping[str, str]:
        """Raises NotDeployed, botocore's errors."""
        if self.stack is None:
            raise NotDeployed(
                f"there is no stack {self.name} in {self.region}: make deploy first; or, if it lives "
                f"elsewhere, say so with {ELSEWHERE}"
            )
        if not (outputs := self.stack.get("Outputs")):
            raise NotDeployed(
                f"the stack {self.name} in {self.region} is {self.stack['StackStatus']}: its deploy never "
                "came to an end. make deploy tries again, make destroy takes away what it left"
            )
        return {output["OutputKey"]: output["OutputValue"] for output in outputs}

    def template(self, stack_id: str | None = None) -> dict[str, Any]:
        """The stack's own, or that of a deleted one. Raises botocore's errors."""
        if stack_id is None and (self.stack is None or self.stack["StackStatus"] == "REVIEW_IN_PROGRESS"):
            return {}  # nothing has come of it yet
        found = self.cloudformation.get_template(StackName=stack_id or self.name, TemplateStage="Original")
        body: Any = found.get("TemplateBody")
        return body if isinstance(body, dict) else {}  # text is YAML, in which CDK writes none

    def deleted(self) -> list[str]:
        """Ids of the stacks of this name that were: CloudFormation remembers them for 90 days. CDK deletes
        one whose first deploy failed before it tries again."""
        pages = self.cloudformation.get_paginator("list_stacks").paginate(
            StackStatusFilter=["DELETE_COMPLETE"]
        )
        found = [one for page in pages for one in page["StackSummaries"]]
        return [one["StackId"] for one in found if one["StackName"] == self.name]

    def resources(self) -> dict[str, str]:
        """The physical id of each that there is, by its logical one. Raises botocore's errors."""
        pages = self.cloudformation.get_paginator("list_stack_resources").paginate(StackName=self.name)
        found = [one for page in pages for one in page["StackResourceSummaries"]]
        return {
            one["LogicalResourceId"]: one["PhysicalResourceId"]
            for one in found
            if one.get("PhysicalResourceId") and one["ResourceStatus"] != "DELETE_COMPLETE"
        }


def told(error: Exception) -> str:
    """What it says, and where to look further if it is about the way to AWS."""
    lost = isinstance(error, (NoCredentialsError, NoRegionError, EndpointConnectionError))
    return f"{error}; make doctor says what to do" if lost else str(error)


def find(context: list[str] | None) -> Deployed:
    """By cdk.json's options, and these instead of them, as for `cdk -c`. Raises OptionsError."""
    return deployed_as(read_wanted(parse_context(context or [], None)))


def deployed_as(wanted: Wanted) -> Deployed:
    """The stack of these options, as it is in the account now."""
    options = wanted.options
    return Deployed(options.stack, boto3.Session(region_name=wanted.region))
