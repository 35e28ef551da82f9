"""The deployed stack, as CloudFormation knows it: for the commands that come after `make deploy`."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

import boto3
import typer
from botocore.exceptions import ClientError

from infra.doctor.wanted import Wanted, parse_context, read_wanted

Context = Annotated[
    list[str] | None, typer.Option("--context", "-c", help="KEY=VALUE, as for cdk deploy (repeatable).")
]


class NotDeployed(Exception):
    """There is no such stack; the message says where it was looked for."""


@dataclass(frozen=True)
class Deployed:
    name: str
    session: boto3.Session

    @cached_property
    def outputs(self) -> Mapping[str, str]:
        """Raises NotDeployed, botocore's errors."""
        try:
            (stack,) = self.session.client("cloudformation").describe_stacks(StackName=self.name)["Stacks"]
        except ClientError as error:
            if error.response["Error"]["Code"] != "ValidationError":
                raise
            where = self.session.region_name
            raise NotDeployed(f"there is no stack {self.name} in {where}: make deploy first") from None
        return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", ())}

    def functions(self) -> list[str]:
        """Names of its functions; none if there is no such stack."""
        pages = self.session.client("cloudformation").get_paginator("list_stack_resources")
        try:
            found = [
                one for page in pages.paginate(StackName=self.name) for one in page["StackResourceSummaries"]
            ]
        except ClientError as error:
            if error.response["Error"]["Code"] == "ValidationError":
                return []
            raise
        return [one["PhysicalResourceId"] for one in found if one["ResourceType"] == "AWS::Lambda::Function"]


def find(context: list[str] | None) -> Deployed:
    """By cdk.json's options, and these instead of them, as for `cdk -c`. Raises OptionsError."""
    return deployed_as(read_wanted(parse_context(context or [], None)))


def deployed_as(wanted: Wanted) -> Deployed:
    """The stack of these options, as it is in the account now."""
    options = wanted.options
    return Deployed(options.stack, boto3.Session(region_name=options.region))
