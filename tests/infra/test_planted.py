"""Mistakes planted in a template: what must hold in every deployment is seen not to hold.

The first ones are those that cfn-lint lets pass.
"""

import copy
import dataclasses
from typing import Any

import pytest

from tests.infra.synth import Synth, synth
from tests.infra.test_combinations import CHECKS

GONE = object()
PLANTED: list[tuple[str, str, Any]] = [  # resource type, path in its properties, what is put there
    ("ApiGatewayV2::Integration", "IntegrationType", "LAMBDA"),
    ("ApiGatewayV2::Integration", "TimeoutInMillis", 60_000),
    ("ApiGatewayV2::Route", "AuthorizationType", "JWT"),
    ("ApiGatewayV2::Route", "RouteResponseSelectionExpression", "$default"),
    ("ApiGatewayV2::Authorizer", "AuthorizerType", "TOKEN"),
    ("ApiGatewayV2::Authorizer", "AuthorizerResultTtlInSeconds", 300),
    ("ApiGatewayV2::Authorizer", "IdentitySource", ["route.request.header.t"]),
    ("ApiGatewayV2::Stage", "RouteSettings", {}),
    ("ApiGatewayV2::Stage", "DefaultRouteSettings.ThrottlingRateLimit", 10_000),
    ("Lambda::Function", "MemorySize", 20_480),
    ("Lambda::Function", "EphemeralStorage", {"Size": 20_000}),
    ("Lambda::Function", "Architectures", ["x86_64"]),
    ("Lambda::Function", "Timeout", 3),
    ("Lambda::Function", "VpcConfig", {"SubnetIds": ["subnet-1"]}),
    ("Lambda::Function", "LoggingConfig", {"LogGroup": {"Ref": "Another"}}),
    ("Lambda::Function", "ReservedConcurrentExecutions", 1),
    ("Lambda::Function", "Environment.Variables.CAPACITY", "1000"),
    ("Lambda::Function", "Environment.Variables.TICKET_SECRET", "{}"),
    ("Lambda::Function", "Environment.Variables.AWS_REGION", "us-east-1"),
    ("Lambda::EventInvokeConfig", "MaximumRetryAttempts", 2),
    ("Lambda::EventInvokeConfig", "MaximumEventAgeInSeconds", 21_600),
    ("Lambda::EventInvokeConfig", "DestinationConfig", {}),
    ("Lambda::EventInvokeConfig", "Qualifier", "awake"),
    ("Lambda::Url", "AuthType", "NONE"),
    ("Lambda::Permission", "Principal", "*"),
    ("DynamoDB::GlobalTable", "TimeToLiveSpecification", GONE),
    ("DynamoDB::GlobalTable", "KeySchema", [{"AttributeName": "pk", "KeyType": "HASH"}]),
    ("Logs::LogGroup", "RetentionInDays", GONE),
    ("SecretsManager::Secret", "SecretString", "{}"),
    ("S3::Bucket", "PublicAccessBlockConfiguration.BlockPublicPolicy", False),
    ("S3::Bucket", "Tags", [{"Key": "aws-cdk:cr-owned:1", "Value": "true"}]),
    ("CloudFront::Distribution", "DistributionConfig.CustomErrorResponses", [{"ErrorCode": 403}]),
    ("CloudFront::Distribution", "DistributionConfig.DefaultCacheBehavior.ViewerProtocolPolicy", "allow-all"),
]


@pytest.mark.parametrize(("kind", "path", "value"), PLANTED, ids=[" ".join(each[:2]) for each in PLANTED])
def test_a_planted_mistake_is_found(kind: str, path: str, value: Any) -> None:
    made = copy.deepcopy(synth())
    resource = next(iter(made.of_type(kind).values()))
    *above, last = path.split(".")
    part = resource["Properties"]
    for name in above:
        part = part[name]
    if value is GONE:
        del part[last]
    else:
        part[last] = value
    assert _refused(made)


@pytest.mark.parametrize(
    "statement", [{"Action": "lambda:InvokeFunction"}, {"Action": "execute-api:ManageConnections"}]
)
def test_a_permission_for_everything_is_found(statement: dict[str, str]) -> None:
    made = copy.deepcopy(synth())
    for policy in made.of_type("IAM::Policy").values():
        for each in policy["Properties"]["PolicyDocument"]["Statement"]:
            if each["Action"] == statement["Action"]:
                each["Resource"] = "*"
    assert _refused(made)


@pytest.mark.parametrize("kind", ["S3::Bucket", "DynamoDB::GlobalTable", "SecretsManager::Secret"])
def test_what_would_outlive_the_stack_is_found(kind: str) -> None:
    made = copy.deepcopy(synth())
    next(iter(made.of_type(kind).values()))["DeletionPolicy"] = "Retain"
    assert _refused(made)


def test_a_template_without_a_mistake_passes() -> None:
    assert not _refused(copy.deepcopy(synth()))
    assert _refused(dataclasses.replace(synth(), options=synth(auth="open").options))


def _refused(made: Synth) -> bool:
    for check in CHECKS:
        try:
            check(made)
        except (AssertionError, KeyError, TypeError):
            return True
    return False
