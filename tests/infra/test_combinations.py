"""What must hold in every deployment, whatever its options: most of it nobody else notices before it hurts.

cfn-lint lets wrong integration types, timeouts, authorizers and sizes pass; an emulated AWS drops throttles,
reserved concurrency, expiry and the settings of asynchronous invocation.
"""

import json
from collections.abc import Callable
from typing import Any

import pytest

from session.dynamodb import table_definition
from tests.infra.combinations import combinations
from tests.infra.synth import Resource, Synth, synth

Check = Callable[[Synth], None]
CHECKS: list[Check] = []


def always(check: Check) -> Check:
    CHECKS.append(check)
    return check


@pytest.mark.parametrize("options", combinations(), ids=lambda options: ",".join(options) or "default")
def test_what_must_hold_in_every_deployment(options: dict[str, Any]) -> None:
    made = synth(**options)
    for check in CHECKS:
        check(made)


@always
def both_functions_and_their_images_are_arm64(made: Synth) -> None:
    functions = [made.light(), *made.models()]
    assert len(functions) == 1 + len(made.options.models)
    for function in functions:
        assert function["Architectures"] == ["arm64"]
        assert not {"Handler", "Runtime", "Layers", "EphemeralStorage"} & function.keys()
        used = [digest for digest in made.images() if digest in function["Code"]["ImageUri"]["Fn::Sub"]]
        assert [made.images()[digest]["platform"] for digest in used] == ["linux/arm64"]


@always
def functions_have_their_time_and_memory(made: Synth) -> None:
    assert (made.light()["Timeout"], made.light()["MemorySize"]) == (29, 1024)  # API Gateway waits 29 s
    for function in made.models():
        model = function["Environment"]["Variables"]["MODEL_NAME"]
        assert function["Timeout"] == 900
        assert function["MemorySize"] == made.options.memory_of(model) <= 10_240
        assert function.get("ReservedConcurrentExecutions") == made.options.reserved_concurrency
        assert ("VpcConfig" in function) == (made.options.vpc is not None)
    assert "VpcConfig" not in made.light()
    assert "ReservedConcurrentExecutions" not in made.light()


@always
def a_model_is_invoked_once_within_a_minute_or_its_failure_is_told(made: Synth) -> None:
    queue = made.only("Lambda::EventSourceMapping")["EventSourceArn"]
    configs = [config["Properties"] for config in made.of_type("Lambda::EventInvokeConfig").values()]
    assert len(configs) == len(made.options.models)
    for config in configs:
        assert config["MaximumRetryAttempts"] == 0
        assert config["MaximumEventAgeInSeconds"] == 60
        assert config["DestinationConfig"] == {"OnFailure": {"Destination": queue}}
        if made.options.provisioned_concurrency:  # the alias's name, as the last part of its ARN
            alias = config["Qualifier"]["Fn::Select"][1]["Fn::Split"][1]
            assert alias["Ref"] in made.of_type("Lambda::Alias")
        else:
            assert config["Qualifier"] == "$LATEST"
    consumer = made.only("Lambda::EventSourceMapping")["FunctionName"]["Ref"]
    assert made.template["Resources"][consumer]["Properties"] == made.light()


@always
def the_light_function_may_invoke_just_what_it_is_told_to(made: Synth) -> None:
    told = [part for part in _joined(made.light(), "MODELS") if not isinstance(part, str)]
    assert len(told) == len(made.options.models)
    if made.options.provisioned_concurrency:
        assert {part["Ref"] for part in told} == set(made.of_type("Lambda::Alias"))
    else:
        assert all(part["Fn::GetAtt"][1] == "Arn" for part in told)
    (allowed,) = [
        statement["Resource"]
        for _, statement in _statements(made)
        if statement["Action"] == "lambda:InvokeFunction"
    ]
    assert (allowed if isinstance(allowed, list) else [allowed]) == told


@always
def models_are_kept_awake_when_it_was_asked_for(made: Synth) -> None:
    count, hours = made.options.provisioned_concurrency, made.options.provisioned_hours
    aliases = [alias["Properties"] for alias in made.of_type("Lambda::Alias").values()]
    kept = [alias.get("ProvisionedConcurrencyConfig") for alias in aliases]
    always_on = {"ProvisionedConcurrentExecutions": count} if not hours else None
    assert kept == [always_on] * (len(made.options.models) if count else 0)
    for target in made.of_type("ApplicationAutoScaling::ScalableTarget").values():
        assert (target["Properties"]["MinCapacity"], target["Properties"]["MaxCapacity"]) == (0, count)
        assert {
            (action["Schedule"], action["Timezone"], action["ScalableTargetAction"]["MinCapacity"])
            for action in target["Properties"]["ScheduledActions"]
        } == {
            ("cron(30 19 ? * FRI,SUN *)", "Europe/Berlin", count),
            ("cron(0 1 ? * MON,SAT *)", "Europe/Berlin", 0),  # past midnight: the days after
        }
    assert bool(made.of_type("ApplicationAutoScaling::ScalableTarget")) == bool(hours)


@always
def nobody_connects_unasked(made: Synth) -> None:
    routes = [route["Properties"] for route in made.of_type("ApiGatewayV2::Route").values()]
    (connect,) = (route for route in routes if route["RouteKey"] == "$connect")
    if made.options.auth == "iam":
        assert connect["AuthorizationType"] == "AWS_IAM"
        assert not made.of_type("ApiGatewayV2::Authorizer")
    else:
        (name,) = made.of_type("ApiGatewayV2::Authorizer")
        assert (connect["AuthorizationType"], connect["AuthorizerId"]) == ("CUSTOM", {"Ref": name})
        authorizer = made.only("ApiGatewayV2::Authorizer")
        assert authorizer["AuthorizerType"] == "REQUEST"
        assert authorizer["IdentitySource"] == ["route.request.querystring.t"]
        assert "AuthorizerResultTtlInSeconds" not in authorizer  # only HTTP APIs know it
    for route in routes:
        assert not {"RouteResponseSelectionExpression", "ApiKeyRequired"} & route.keys()
    integration = made.only("ApiGatewayV2::Integration")
    assert integration["IntegrationType"] == "AWS_PROXY"
    assert "TimeoutInMillis" not in integration  # 29 s, the most


@always
def every_route_is_throttled_and_there_before_its_throttle(made: Synth) -> None:
    (stage,) = made.of_type("ApiGatewayV2::Stage").values()
    routes = {
        route["Properties"]["RouteKey"]: name for name, route in made.of_type("ApiGatewayV2::Route").items()
    }
    throttles = stage["Properties"]["RouteSettings"]
    assert throttles.keys() < routes.keys()
    assert {"$connect", "hello", "say", "wake"} <= throttles.keys()
    for key in throttles:
        assert routes[key] in stage["DependsOn"]
    for limit in (stage["Properties"]["DefaultRouteSettings"], *throttles.values()):
        # All APIs of an account share 2,500 a second in API Gateway's smaller regions.
        assert 0 < limit["ThrottlingRateLimit"] <= 250
        assert limit["ThrottlingRateLimit"] <= limit["ThrottlingBurstLimit"] <= 500
    assert stage["Properties"]["AutoDeploy"] is True


@always
def logs_end_and_hold_no_ticket(made: Synth) -> None:
    groups = made.of_type("Logs::LogGroup")
    for group in groups.values():
        assert group["Properties"]["RetentionInDays"] == made.options.retention_days
    for function in made.of_type("Lambda::Function").values():
        assert function["Properties"]["LoggingConfig"]["LogGroup"]["Ref"] in groups
    (stage,) = made.of_type("ApiGatewayV2::Stage").values()
    log = stage["Properties"].get("AccessLogSettings")
    assert (log is not None) == (made.options.access_logs != "off")
    if log is not None:
        assert "query" not in log["Format"].lower()
        assert "sourceIp" not in log["Format"]
        assert json.loads(log["Format"])
    makes_role = made.options.access_logs == "with-account-role"
    assert len(made.of_type("ApiGateway::Account")) == makes_role  # it is the whole account's
    assert any(name in made.of_type("ApiGateway::Account") for name in stage["DependsOn"]) == makes_role


@always
def the_table_is_the_one_that_the_store_uses(made: Synth) -> None:
    table, local = made.only("DynamoDB::GlobalTable"), table_definition("any")
    for key in ("KeySchema", "AttributeDefinitions", "BillingMode"):
        assert table[key] == local[key]
    assert table["TimeToLiveSpecification"] == {"AttributeName": "expires", "Enabled": True}
    (name,) = made.of_type("DynamoDB::GlobalTable")
    for function in (made.light(), *made.models()):
        assert function["Environment"]["Variables"]["TABLE_NAME"] == {"Ref": name}


@always
def functions_post_to_this_stage_only(made: Synth) -> None:
    (api,) = made.of_type("ApiGatewayV2::Api")
    for function in (made.light(), *made.models()):
        parts = _joined(function, "CALLBACK_URL")
        assert parts[:3] == ["https://", {"Ref": api}, ".execute-api."]
        assert parts[-1] == "/prod"
    posting = [each for _, each in _statements(made) if each["Action"] == "execute-api:ManageConnections"]
    assert len(posting) == 1 + len(made.options.models)
    for statement in posting:
        *_, of_api, path = statement["Resource"]["Fn::Join"][1]
        assert (of_api, path) == ({"Ref": api}, "/prod/POST/@connections/*")


@always
def environments_fit_and_hold_no_secret(made: Synth) -> None:
    for function in (made.light(), *made.models()):
        variables = function["Environment"]["Variables"]
        assert len(json.dumps(variables)) < 4096
        assert not any(name.startswith(("AWS_", "LAMBDA_")) for name in variables)
        assert (function.get("TracingConfig") == {"Mode": "Active"}) == made.options.tracing
        assert variables["CAPACITY"] == str(made.options.slots)
    assert "TICKET_SECRET" not in json.dumps(made.template)
    secrets = made.of_type("SecretsManager::Secret")
    assert len(secrets) == (made.options.auth != "iam")
    for name, secret in secrets.items():
        assert "SecretString" not in secret["Properties"]
        assert secret["Properties"]["GenerateSecretString"] == {
            "ExcludePunctuation": True,
            "GenerateStringKey": "key",
            "PasswordLength": 64,
            "SecretStringTemplate": "{}",
        }
        assert made.light()["Environment"]["Variables"]["SECRET_ARN"] == {"Ref": name}


@always
def tickets_are_handed_out_through_the_page_only(made: Synth) -> None:
    if made.options.auth == "iam":
        assert not made.of_type("Lambda::Url")
        assert not made.of_type("CloudFront::Distribution")
        return
    assert made.only("Lambda::Url")["AuthType"] == "AWS_IAM"
    callers = [
        permission["Properties"]
        for permission in made.of_type("Lambda::Permission").values()
        if permission["Properties"]["Principal"] != "apigateway.amazonaws.com"
    ]
    # A function's URL wants both since October 2025.
    assert {caller["Action"] for caller in callers} == {"lambda:InvokeFunctionUrl", "lambda:InvokeFunction"}
    (distribution,) = made.of_type("CloudFront::Distribution")
    for caller in callers:
        assert caller["Principal"] == "cloudfront.amazonaws.com"
        assert caller["SourceArn"]["Fn::Join"][1][-1] == {"Ref": distribution}
    (office,) = made.only("CloudFront::Distribution")["DistributionConfig"]["CacheBehaviors"]
    assert office["PathPattern"] == "/ticket"
    assert office["ViewerProtocolPolicy"] == "https-only"
    assert office["CachePolicyId"] == "4135ea2d-6df8-44a3-9df3-4b5a84be39ad"  # AWS's CachingDisabled
    assert (
        office["OriginRequestPolicyId"] == "b689b0a8-53d0-40ab-baf2-68738e2966ac"
    )  # AllViewerExceptHostHeader
    (viewer,) = made.of_type("CloudFront::Function")
    (association,) = office["FunctionAssociations"]
    assert association == {
        "EventType": "viewer-request",
        "FunctionARN": {"Fn::GetAtt": [viewer, "FunctionARN"]},
    }


@always
def the_page_is_private_and_talks_to_its_house_only(made: Synth) -> None:
    buckets = {name: one for name, one in made.of_type("S3::Bucket").items() if name.startswith("Page")}
    if made.options.auth == "iam":
        assert not buckets
        return
    (found,) = buckets.values()
    bucket = found["Properties"]
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(bucket["PublicAccessBlockConfiguration"]) == 4
    assert "Tags" not in bucket  # or BucketDeployment leaves its files, and the bucket can't be removed
    distribution = made.only("CloudFront::Distribution")["DistributionConfig"]
    assert "CustomErrorResponses" not in distribution  # they would hide the refusals of /ticket
    for origin in distribution["Origins"]:
        assert "Fn::GetAtt" in origin["OriginAccessControlId"]
    assert distribution["DefaultCacheBehavior"]["ViewerProtocolPolicy"] == "redirect-to-https"
    headers = made.only("CloudFront::ResponseHeadersPolicy")["ResponseHeadersPolicyConfig"]
    policy = headers["SecurityHeadersConfig"]["ContentSecurityPolicy"]["ContentSecurityPolicy"]["Fn::Join"][1]
    (api,) = made.of_type("ApiGatewayV2::Api")
    assert policy[:3] == [
        "default-src 'self'; connect-src 'self' wss://",
        {"Ref": api},
        ".execute-api.",
    ]
    domain = made.options.domain
    assert distribution.get("Aliases") == ([domain.name] if domain else None)
    records = made.of_type("Route53::RecordSet").values()
    named = domain is not None and domain.hosted_zone is not None
    assert {record["Properties"]["Type"] for record in records} == ({"A", "AAAA"} if named else set())


@always
def weights_in_s3_are_read_by_their_model_only_and_leave_with_the_stack(made: Synth) -> None:
    told = {
        function["Environment"]["Variables"]["MODEL_NAME"]: function["Environment"]["Variables"].get(
            "WEIGHTS_URL"
        )
        for function in made.models()
    }
    buckets = {name: one for name, one in made.of_type("S3::Bucket").items() if name.startswith("Weights")}
    reading = [each for name, each in _statements(made) if each["Action"] == "s3:GetObject"]
    if made.options.weights == "image":
        assert not buckets
        assert not reading
        assert set(told.values()) == {None}
        return
    ((name, bucket),) = buckets.items()
    assert told == {
        model: {"Fn::Join": ["", ["s3://", {"Ref": name}, f"/{model}"]]} for model in made.options.models
    }
    assert [statement["Resource"]["Fn::Join"][1] for statement in reading] == [
        [{"Fn::GetAtt": [name, "Arn"]}, f"/{model}/*"] for model in made.options.models
    ]
    settings = bucket["Properties"]
    assert set(settings["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(settings["PublicAccessBlockConfiguration"]) == 4
    (encryption,) = settings["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert encryption["ServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    (rule,) = settings["LifecycleConfiguration"]["Rules"]
    assert rule == {"AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}, "Status": "Enabled"}
    policies = [policy["Properties"] for policy in made.of_type("S3::BucketPolicy").values()]
    (policy,) = (one["PolicyDocument"] for one in policies if one["Bucket"] == {"Ref": name})
    assert policy["Statement"][0]["Effect"] == "Deny"
    assert policy["Statement"][0]["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    emptied = [
        resource["Properties"]["BucketName"]
        for resource in made.template["Resources"].values()
        if resource["Type"] == "Custom::S3AutoDeleteObjects"
    ]
    assert emptied == ([{"Ref": name}] if made.options.removal == "destroy" else [])
    gateways = json.dumps(made.of_type("EC2::VPCEndpoint"))
    assert ('.s3"' in gateways) == (made.options.vpc == "new")


@always
def removal_is_as_it_was_asked_for(made: Synth) -> None:
    kinds = ("DynamoDB::GlobalTable", "S3::Bucket", "SecretsManager::Secret", "Logs::LogGroup")
    policy = "Delete" if made.options.removal == "destroy" else "Retain"
    for kind in kinds:
        for resource in made.of_type(kind).values():
            assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == (policy, policy)
    (replica,) = made.only("DynamoDB::GlobalTable")["Replicas"]
    assert replica.get("DeletionProtectionEnabled", False) == (policy == "Retain")
    for resource in made.template["Resources"].values():
        if resource["Type"] == "Custom::CDKBucketDeployment":
            assert resource["Properties"]["RetainOnDelete"] == (policy == "Retain")


@always
def what_costs_while_idle_is_there_by_option_only(made: Synth) -> None:
    told = made.options.alarms_email is not None
    assert bool(made.of_type("CloudWatch::Alarm")) == bool(made.of_type("SNS::Topic")) == told
    assert len(made.of_type("Budgets::Budget")) == (made.options.budget_usd is not None)
    assert len(made.of_type("CloudWatch::Dashboard")) == made.options.dashboard
    assert bool(made.of_type("Logs::QueryDefinition")) == made.options.dashboard
    assert len(made.of_type("EC2::NatGateway")) == (made.options.vpc == "new")
    assert not made.of_type("KMS::Key")


@always
def outputs_tell_the_way_in(made: Synth) -> None:
    expected = {
        *("WebSocketUrl", "SessionTable", "PrologueFunction", "PrologueLogs"),
        *("ModelFunctions", "ModelLogs", "FailureQueue"),
    }
    if made.options.auth != "iam":
        expected |= {"PageUrl", "TicketFunctionUrl", "SecretArn"}
    if made.options.auth == "access-code":
        expected.add("AccessCode")
    if made.options.weights == "s3":
        expected.add("WeightsBucket")
    assert set(made.template["Outputs"]) == expected


def _joined(function: Resource, variable: str) -> list[Any]:
    parts: list[Any] = function["Environment"]["Variables"][variable]["Fn::Join"][1]
    return parts


def _statements(made: Synth) -> list[tuple[str, Resource]]:
    return [
        (name, statement)
        for name, policy in made.of_type("IAM::Policy").items()
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
    ]
