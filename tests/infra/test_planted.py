"""Mistakes planted in a template: what must hold in every deployment is seen not to hold.

The first ones are those that cfn-lint lets pass.
"""

import copy
import dataclasses
from functools import reduce
from typing import Any

import pytest

from tests.infra import test_combinations  # noqa: F401  # what it imports fills CHECKS
from tests.infra.always import CHECKS
from tests.infra.combinations import FULL, OTHERWISE
from tests.infra.synth import Synth, synth

GONE = object()
SECURITY = "ResponseHeadersPolicyConfig.SecurityHeadersConfig"
CSP = "ContentSecurityPolicy.ContentSecurityPolicy.Fn::Join.1"
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
    ("CloudFront::OriginAccessControl", "OriginAccessControlConfig.SigningBehavior", "never"),
    ("CloudFront::OriginAccessControl", "OriginAccessControlConfig.Name", "CurtainPageFiles"),
    ("CloudFront::ResponseHeadersPolicy", "ResponseHeadersPolicyConfig.Name", "CurtainPageHeaders"),
    ("CloudFront::ResponseHeadersPolicy", f"{SECURITY}.StrictTransportSecurity", GONE),
    ("CloudFront::ResponseHeadersPolicy", f"{SECURITY}.FrameOptions", GONE),
    ("CloudFront::ResponseHeadersPolicy", f"{SECURITY}.{CSP}.-1", "; frame-ancestors *"),
    ("S3::BucketPolicy", "PolicyDocument.Statement.0.Effect", "Allow"),
    ("S3::BucketPolicy", "PolicyDocument.Statement.1.Principal", "*"),
    ("SQS::Queue", "RedrivePolicy", GONE),
    ("Lambda::EventSourceMapping", "ScalingConfig", GONE),
    ("IAM::Role", "ManagedPolicyArns", ["arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"]),
]
OPTIONS: list[tuple[str, str, Any]] = [  # the same, of what is there by option
    ("Lambda::Function", "VpcConfig.SubnetIds.0", "subnet-ff"),
    ("Lambda::Function", "VpcConfig.SecurityGroupIds.0", "sg-ff"),
    ("Lambda::Function", "Environment.Variables.MODEL_SECONDS_PER_DAY", "7200"),
    ("Lambda::Function", "Environment.Variables.MODEL_SECONDS_PER_DAY_TICKET", "1800"),
    ("Lambda::Function", "Environment.Variables.MODEL_SECONDS_PER_DAY_ADDRESS", "3600"),
    ("Lambda::Function", "Environment.Variables.JWT_AUDIENCE", "another"),
    ("Lambda::Function", "Environment.Variables.JWT_JWKS_URL", GONE),
    ("SNS::Subscription", "Endpoint", "else@example.org"),
    ("SNS::TopicPolicy", "PolicyDocument.Statement.-1.Principal.Service", "events.amazonaws.com"),
    ("CloudWatch::Alarm", "AlarmActions", GONE),
    ("CloudWatch::Alarm", "Namespace", "AWS/Lamda"),
    ("CloudWatch::Alarm", "MetricName", "Mistakes"),
    ("CloudWatch::Alarm", "Metrics.-1.MetricStat.Metric.MetricName", "Mistakes"),
    ("Budgets::Budget", "Budget.BudgetLimit.Amount", 9999),
    ("Budgets::Budget", "NotificationsWithSubscribers", []),
    ("Budgets::Budget", "NotificationsWithSubscribers.0.Subscribers.0.Address", "else@example.org"),
    ("CloudFront::Distribution", "DistributionConfig.ViewerCertificate.AcmCertificateArn", "arn:other"),
    ("CloudFront::Distribution", "DistributionConfig.ViewerCertificate.MinimumProtocolVersion", "TLSv1"),
    ("Route53::RecordSet", "Name", "other.example.org."),
    ("Route53::RecordSet", "HostedZoneId", "ZOTHER"),
    ("S3::Bucket", "OwnershipControls.Rules.0.ObjectOwnership", "ObjectWriter"),
]
LOGGED: list[tuple[str, str, Any]] = [  # and of the account's role for access logs
    ("IAM::Role", "ManagedPolicyArns", []),
    ("ApiGateway::Account", "CloudWatchRoleArn", "arn:aws:iam::123456789012:role/other"),
]
ALL = [
    *(({}, *each) for each in PLANTED),
    *((OTHERWISE, *each) for each in OPTIONS),
    *((FULL, *each) for each in LOGGED),
]


@pytest.mark.parametrize(
    ("options", "kind", "path", "value"), ALL, ids=[f"{kind} {path}" for _, kind, path, _ in ALL]
)
def test_a_planted_mistake_is_found(options: dict[str, Any], kind: str, path: str, value: Any) -> None:
    made = copy.deepcopy(synth(**options))
    *above, last = path.split(".")
    resources = [resource["Properties"] for resource in made.of_type(kind).values()]
    having = (resource for resource in resources if _has(resource, [*above, last]))
    part = reduce(_within, above, next(having, resources[0]))
    if value is GONE:
        del part[last]
    else:
        part[_key(part, last)] = value
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
    for options in ({}, FULL, OTHERWISE):
        assert not _refused(copy.deepcopy(synth(**options)))
    assert _refused(dataclasses.replace(synth(), options=synth(auth="open").options))


def _key(part: Any, name: str) -> str | int:
    return int(name) if isinstance(part, list) else name


def _within(part: Any, name: str) -> Any:
    return part[_key(part, name)]


def _has(part: Any, path: list[str]) -> bool:
    try:
        reduce(_within, path, part)
    except (KeyError, IndexError):
        return False
    return True


def _refused(made: Synth) -> bool:
    for check in CHECKS:
        try:
            check(made)
        except (AssertionError, LookupError, TypeError, ValueError):
            return True
    return False
