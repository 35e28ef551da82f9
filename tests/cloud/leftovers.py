"""What is in the emulated account, apart from what `cdk bootstrap` made."""

from collections.abc import Callable
from typing import Any

from tests.cloud.emulator import EmulatedAws

BOOTSTRAP = "cdk-hnb659fds"  # begins the names of what it made

Listed = Callable[[Any], list[str]]


def _names(items: Any, key: str) -> list[str]:
    return [str(item[key]) for item in items or ()]


KINDS: dict[str, tuple[str, Listed]] = {
    "functions": ("lambda", lambda aws: _names(aws.list_functions()["Functions"], "FunctionName")),
    "layers": ("lambda", lambda aws: _names(aws.list_layers()["Layers"], "LayerName")),
    "sources": (
        "lambda",
        lambda aws: _names(aws.list_event_source_mappings()["EventSourceMappings"], "UUID"),
    ),
    "tables": ("dynamodb", lambda aws: list(aws.list_tables()["TableNames"])),
    "APIs": ("apigatewayv2", lambda aws: _names(aws.get_apis()["Items"], "ApiId")),
    "queues": ("sqs", lambda aws: list(aws.list_queues().get("QueueUrls", ()))),
    "secrets": (
        "secretsmanager",
        lambda aws: _names(aws.list_secrets(IncludePlannedDeletion=True)["SecretList"], "Name"),
    ),
    "buckets": ("s3", lambda aws: _names(aws.list_buckets()["Buckets"], "Name")),
    "distributions": (
        "cloudfront",
        lambda aws: _names(aws.list_distributions()["DistributionList"].get("Items"), "Id"),
    ),
    "CloudFront functions": (
        "cloudfront",
        lambda aws: _names(aws.list_functions()["FunctionList"].get("Items"), "Name"),
    ),
    "header policies": (
        "cloudfront",
        lambda aws: [
            item["ResponseHeadersPolicy"]["Id"]
            for item in aws.list_response_headers_policies(Type="custom")["ResponseHeadersPolicyList"].get(
                "Items", ()
            )
        ],
    ),
    "access controls": (
        "cloudfront",
        lambda aws: _names(aws.list_origin_access_controls()["OriginAccessControlList"].get("Items"), "Id"),
    ),
    "logs": ("logs", lambda aws: _names(aws.describe_log_groups()["logGroups"], "logGroupName")),
    "alarms": ("cloudwatch", lambda aws: _names(aws.describe_alarms()["MetricAlarms"], "AlarmName")),
    "roles": ("iam", lambda aws: _names(aws.list_roles()["Roles"], "RoleName")),
    "stacks": (
        "cloudformation",
        lambda aws: [
            stack["StackName"]
            for stack in aws.describe_stacks()["Stacks"]
            if stack["StackName"] != "CDKToolkit" and stack["StackStatus"] != "DELETE_COMPLETE"
        ],
    ),
    "images": (
        "ecr",
        lambda aws: [
            str(image["imageTags"])
            for repository in aws.describe_repositories()["repositories"]
            for image in aws.describe_images(repositoryName=repository["repositoryName"])["imageDetails"]
        ],
    ),
}


def resources(aws: EmulatedAws) -> dict[str, list[str]]:
    """Names by kind; kinds of which there is nothing are left out."""
    found = {kind: listed(aws.client(service)) for kind, (service, listed) in KINDS.items()}
    ours = {kind: [name for name in names if not name.startswith(BOOTSTRAP)] for kind, names in found.items()}
    return {kind: names for kind, names in ours.items() if names}


def made_anew(left: dict[str, list[str]], said: str) -> list[str]:
    """Takes out of `left` the log groups that the stack did delete, as `cdk destroy` has `said`. The emulator
    writes what a function says late, and makes the group for it; on AWS our roles may not make one."""
    gone = [line for line in said.splitlines() if "DELETE_COMPLETE" in line and "AWS::Logs::LogGroup" in line]
    anew = [name for name in left.get("logs", ()) if any(name.rpartition("/")[2] in line for line in gone)]
    if logs := [name for name in left.pop("logs", []) if name not in anew]:
        left["logs"] = logs
    return anew
