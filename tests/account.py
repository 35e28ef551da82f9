"""An account as CloudFormation, Lambda and ECR tell of it, for tests of `make deploy` and `make destroy`."""

import json
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from botocore.stub import Stubber

ACCOUNT, REGION = "123456789012", "eu-west-1"
REPOSITORY = f"cdk-hnb659fds-container-assets-{ACCOUNT}-{REGION}"
SUB = "${AWS::AccountId}.dkr.ecr.${AWS::Region}.${AWS::URLSuffix}/cdk-hnb659fds-container-assets-" + (
    "${AWS::AccountId}-${AWS::Region}:"
)
ID = f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/Curtain/"
WHEN = datetime(2026, 11, 21, tzinfo=UTC)


def function(tag: str, **resource: Any) -> dict[str, Any]:
    code = {"ImageUri": {"Fn::Sub": SUB + tag}}
    return {"Type": "AWS::Lambda::Function", "Properties": {"Code": code}} | resource


def stack(account: dict[str, Stubber], *tags: str, status: str = "CREATE_COMPLETE", **more: Any) -> None:
    """There is one, whose functions run these images."""
    account["stacks"].add_response("describe_stacks", {"Stacks": [described(status)]})
    template(account, "Curtain", *tags, **more)


def described(status: str) -> dict[str, Any]:
    return {"StackName": "Curtain", "StackId": f"{ID}now", "StackStatus": status, "CreationTime": WHEN}


def template(account: dict[str, Stubber], asked: str, *tags: str, **more: Any) -> None:
    resources = {f"F{tag}": function(tag) for tag in tags} | more
    body = json.dumps({"Description": "Curtain: stories", "Resources": resources})
    expected = {"StackName": asked, "TemplateStage": "Original"}
    account["stacks"].add_response("get_template", {"TemplateBody": body}, expected)


def no_stack(account: dict[str, Stubber]) -> None:
    account["stacks"].add_client_error("describe_stacks", "ValidationError", "Stack does not exist")


def deleted(account: dict[str, Stubber], *ids: str, name: str = "Curtain") -> None:
    """Such stacks were."""
    found = [
        {"StackName": name, "StackId": ID + one, "StackStatus": "DELETE_COMPLETE", "CreationTime": WHEN}
        for one in ids
    ]
    account["stacks"].add_response(
        "list_stacks", {"StackSummaries": found}, {"StackStatusFilter": ["DELETE_COMPLETE"]}
    )


def running(account: dict[str, Stubber], *, version: str = "$LATEST", **tags: str | None) -> None:
    """The account's functions, by name, and the images of those that are images and still there: by tag or,
    as `sha256:…`, by digest."""
    found = [{"FunctionName": name, "Version": version, "PackageType": "Image"} for name in tags]
    zipped = {"FunctionName": "zipped", "Version": "$LATEST", "PackageType": "Zip"}
    account["functions"].add_response(
        "list_functions", {"Functions": [*found, zipped]}, {"FunctionVersion": "ALL"}
    )
    for name, tag in tags.items():
        asked = {"FunctionName": name, "Qualifier": version}
        if tag is None:
            account["functions"].add_client_error(
                "get_function", "ResourceNotFoundException", "gone", expected_params=asked
            )
        else:
            home = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{REPOSITORY}"
            by_digest = tag.startswith("sha256:")
            code = {"ImageUri": f"{home}@{tag}" if by_digest else f"{home}:{tag}"}
            code["ResolvedImageUri"] = f"{home}@{tag if by_digest else digest(tag)}"
            account["functions"].add_response("get_function", {"Code": code}, asked)


def digest(tag: str) -> str:
    return "sha256:" + sha256(tag.encode()).hexdigest()


def looked_at(account: dict[str, Stubber], tag: str) -> None:
    """ECR is asked for the image, and has it."""
    expected = {"repositoryName": REPOSITORY, "imageIds": [{"imageTag": tag}]}
    answer = {"imageDetails": [{"imageDigest": digest(tag)}]}
    account["images"].add_response("describe_images", answer, expected)


def removed(account: dict[str, Stubber], tag: str, failure: str = "") -> None:
    """The image is asked for, and goes, unless ECR has a reason."""
    looked_at(account, tag)
    asked = {"imageTag": tag}
    answer: dict[str, Any] = {"imageIds": [asked], "failures": []}
    if failure:
        answer = {"failures": [{"imageId": asked, "failureCode": failure}]}
    expected = {"repositoryName": REPOSITORY, "imageIds": [asked]}
    account["images"].add_response("batch_delete_image", answer, expected)
