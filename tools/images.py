"""The images of a stack's functions, in the account's asset repository. CDK deletes none that it ever pushed,
and ECR asks $0.10 a GB and month for each."""

import json
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import boto3

from tools.stack import Deployed

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

IMAGE = re.compile(r"\.dkr\.ecr\.[^/\"]+/([^:\"]+:[^\"]+)")


class NotRemoved(Exception):
    """ECR keeps images; the message says which, and why."""


def gc(region: str) -> str:
    """The command that takes away what no stack of the account uses, whoever deployed it."""
    return f"AWS_REGION={region} .venv/bin/python -m tools.cdk gc --unstable=gc --created-buffer-days=0"


def named(template: dict[str, Any], stack_id: str) -> set[str]:
    """REPOSITORY:TAG of every image in the template of that stack."""
    _, _, _, region, account, _ = stack_id.split(":", 5)
    text = json.dumps(template).replace("${AWS::AccountId}", account).replace("${AWS::Region}", region)
    return set(IMAGE.findall(text))


def images_of(deployed: Deployed) -> set[str]:
    """Those of the stack as it is, whatever state it is in. Raises botocore's errors."""
    return named(deployed.template(), deployed.stack["StackId"]) if deployed.stack else set()


def images_left(deployed: Deployed) -> set[str]:
    """Those of stacks of this name that are gone: their deploy had failed, or their images weren't removed.
    Raises botocore's errors."""
    gone = [(deployed.template(stack_id), stack_id) for stack_id in deployed.deleted()]
    ours = [(template, stack_id) for template, stack_id in gone if _is_curtain(template)]
    return {image for template, stack_id in ours for image in named(template, stack_id)}


def _is_curtain(template: dict[str, Any]) -> bool:
    return str(template.get("Description", "")).startswith("Curtain:")


def remove_unused(session: boto3.Session, images: Iterable[str]) -> int:
    """Deletes those that no function of account and region runs, in any of its versions, by tag or digest.
    Returns how many were there. Raises NotRemoved, botocore's errors."""
    images = set(images)
    if not images:
        return 0
    ecr, removed, failures = session.client("ecr"), 0, []
    used = _in_use(session.client("lambda"))
    for image in sorted(images - used):
        repository, _, tag = image.rpartition(":")
        tagged = {"imageTag": tag}
        try:
            (found,) = ecr.describe_images(repositoryName=repository, imageIds=[tagged])["imageDetails"]
            if f"{repository}@{found['imageDigest']}" in used:
                continue
            answer = ecr.batch_delete_image(repositoryName=repository, imageIds=[tagged])
        except (ecr.exceptions.RepositoryNotFoundException, ecr.exceptions.ImageNotFoundException):
            continue
        removed += len(answer.get("imageIds", ()))
        failures += [f"{image} ({failure['failureCode']})" for failure in answer.get("failures", ())]
    if failures:
        raise NotRemoved(f"ECR keeps {', '.join(failures)}: delete it there (console: Amazon ECR)")
    return removed


def _in_use(client: "LambdaClient") -> set[str]:
    pages = client.get_paginator("list_functions").paginate(FunctionVersion="ALL")
    found = [one for page in pages for one in page["Functions"] if one.get("PackageType") != "Zip"]
    return {name for one in found for name in _names(client, one["FunctionName"], one["Version"])}


def _names(client: "LambdaClient", function: str, version: str) -> list[str]:
    """Of the image that it runs: as it was deployed under, REPOSITORY:TAG or REPOSITORY@DIGEST, and always
    the latter. None if the function has been deleted meanwhile."""
    try:
        code: Any = client.get_function(FunctionName=function, Qualifier=version).get("Code", {})
    except client.exceptions.ResourceNotFoundException:
        return []
    return [code.get(kind, "").partition("/")[2] for kind in ("ImageUri", "ResolvedImageUri")]
