"""What MiniStack drops, or can't do: held against the deployed template instead, each with the reason."""

from collections.abc import Callable, Iterator
from typing import Any

from tests.cloud.deployment import Deployment

Resource = dict[str, Any]
NEEDS_AN_ACCOUNT = (
    "Proven by `CODE=... make smoke URL=...` on an account: CloudFront's own signing, API Gateway's "
    "throttles and limits, when a signature of a minute expires (IAM=1; MiniStack lets one live a quarter of "
    "an hour), Lambda's way to the pushed image, arm64 on Graviton, real cold starts and their speed. Not by "
    "it: quotas of the account (make doctor tells them), whether API Gateway names who signed a connection "
    "with every frame (MiniStack doesn't), alarms, budget, dashboard."
)


def asserted(deployment: Deployment) -> dict[str, dict[str, Any]]:
    """By subject: what the template says, and why nothing more can be shown here."""
    template = deployment.assembly.template["Resources"]
    return {
        subject: {"template": check(template), "because": because}
        for subject, (because, check) in _CHECKS.items()
    }


def of_type(template: dict[str, Resource], kind: str) -> list[Resource]:
    """The properties of every resource of a kind, which is named without AWS::."""
    return [one["Properties"] for one in template.values() if one["Type"] == f"AWS::{kind}"]


def _throttles(template: dict[str, Resource]) -> Any:
    (stage,) = of_type(template, "ApiGatewayV2::Stage")
    whole = stage["DefaultRouteSettings"]
    routes = {key: one["ThrottlingRateLimit"] for key, one in stage["RouteSettings"].items()}
    assert 0 < whole["ThrottlingRateLimit"] <= 100
    assert {"$connect", "hello", "say", "wake"} <= routes.keys()
    assert all(0 < rate <= 10 for rate in routes.values()), routes
    return {"requests a second": whole["ThrottlingRateLimit"], "by route": routes}


def _expiry(template: dict[str, Resource]) -> Any:
    (table,) = of_type(template, "DynamoDB::GlobalTable")
    assert table["TimeToLiveSpecification"] == {"AttributeName": "expires", "Enabled": True}
    return table["TimeToLiveSpecification"]


def _event_age(template: dict[str, Resource]) -> Any:
    (config,) = of_type(template, "Lambda::EventInvokeConfig")
    assert (config["MaximumRetryAttempts"], config["MaximumEventAgeInSeconds"]) == (0, 60)
    return {"retries": 0, "event age": 60}


def _kind(template: dict[str, Resource]) -> Any:
    images = list(_images(template))
    assert [one["Architectures"] for one in images] == [["arm64"], ["arm64"]]
    return sorted((one["Timeout"], one["MemorySize"]) for one in images)


def _reserved(template: dict[str, Resource]) -> Any:
    """A new account's ten may not be reserved; where they may, tests/infra asks for it."""
    assert not any("ReservedConcurrentExecutions" in one for one in _images(template))
    return None


def _function_url(template: dict[str, Resource]) -> Any:
    (url,) = of_type(template, "Lambda::Url")
    assert url["AuthType"] == "AWS_IAM"
    granted = {
        one["Action"]
        for one in of_type(template, "Lambda::Permission")
        if one["Principal"] == "cloudfront.amazonaws.com" and "SourceArn" in one
    }
    assert granted == {"lambda:InvokeFunctionUrl", "lambda:InvokeFunction"}
    assert not any(one["Principal"] == "*" for one in of_type(template, "Lambda::Permission"))
    return {"auth": url["AuthType"], "granted to CloudFront": sorted(granted)}


def _signing(template: dict[str, Resource]) -> Any:
    controls = [
        one["OriginAccessControlConfig"] for one in of_type(template, "CloudFront::OriginAccessControl")
    ]
    kinds = sorted(one["OriginAccessControlOriginType"] for one in controls)
    assert kinds == ["lambda", "s3"]
    assert {(one["SigningBehavior"], one["SigningProtocol"]) for one in controls} == {("always", "sigv4")}
    return kinds


def _tracing(template: dict[str, Resource]) -> Any:
    assert [one["TracingConfig"] for one in _images(template)] == [{"Mode": "Active"}] * 2
    return "Active"


def _failure_queue(template: dict[str, Resource]) -> Any:
    (source,) = of_type(template, "Lambda::EventSourceMapping")
    assert source["ScalingConfig"] == {"MaximumConcurrency": 2}
    return source["ScalingConfig"]


def _retention(template: dict[str, Resource]) -> Any:
    days = {one["RetentionInDays"] for one in of_type(template, "Logs::LogGroup")}
    assert days == {30}
    return 30


def _images(template: dict[str, Resource]) -> Iterator[Resource]:
    return (one for one in of_type(template, "Lambda::Function") if one.get("PackageType") == "Image")


_CHECKS: dict[str, tuple[str, Callable[[dict[str, Resource]], Any]]] = {
    "throttles": ("MiniStack drops them from the stage", _throttles),
    "expiry of the table's items": ("MiniStack drops it; the code passes over what has expired", _expiry),
    "event age": (
        "MiniStack has no queue to grow old in; that nothing is retried is seen live",
        _event_age,
    ),
    "arm64, timeouts": ("containers here are of this machine's architecture, under Docker's clock", _kind),
    "reserved concurrency": ("MiniStack would drop it; places are kept by the table, seen live", _reserved),
    "function URL": ("MiniStack looks for a signature, not at whose it is", _function_url),
    "signing of CloudFront": ("MiniStack's doesn't sign; tests/cloud/edge.py does it instead", _signing),
    "traces": ("MiniStack takes none", _tracing),
    "readers of the queue of failures": ("MiniStack has one, whatever is asked for", _failure_queue),
    "log retention": ("nothing here lasts that long", _retention),
}
