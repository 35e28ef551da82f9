"""What must hold in every deployment, whatever its options: most of it nobody else notices before it hurts.

cfn-lint lets wrong integration types, timeouts, authorizers and sizes pass; an emulated AWS drops throttles,
reserved concurrency, expiry and the settings of asynchronous invocation.
"""

import json
from typing import Any

import pytest

from infra.functions import service_name
from infra.parts import Vpc
from session.dynamodb import table_definition
from tests.infra import page_checks, permission_checks, watch_checks  # noqa: F401  # theirs are held too
from tests.infra.always import CHECKS, always, joined, statements
from tests.infra.combinations import combinations
from tests.infra.synth import Synth, synth


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
    assert made.light().get("ReservedConcurrentExecutions") == made.options.light_concurrency


@always
def models_are_in_the_network_that_was_named(made: Synth) -> None:
    assert "VpcConfig" not in made.light()
    wanted = made.options.vpc
    if wanted is None:
        assert not [function for function in made.models() if "VpcConfig" in function]
        assert not made.of_type("EC2::SecurityGroup")
        return
    named = wanted if isinstance(wanted, Vpc) else None
    if named:
        assert not made.of_type("EC2::Subnet")
        subnets: list[Any] = list(named.subnets)
    else:
        made_here = made.of_type("EC2::Subnet").items()
        subnets = [{"Ref": name} for name, one in made_here if not one["Properties"]["MapPublicIpOnLaunch"]]
        assert (len(made_here), len(subnets)) == (4, 2)
    groups: list[Any] = list(named.security_groups) if named else []
    for name, group in made.of_type("EC2::SecurityGroup").items():
        assert not groups  # one is made where none was named
        assert "SecurityGroupIngress" not in group["Properties"]  # nobody calls a model function
        vpc = named.id if named else {"Ref": next(iter(made.of_type("EC2::VPC")))}
        assert group["Properties"]["VpcId"] == vpc
        groups.append({"Fn::GetAtt": [name, "GroupId"]})
    for function in made.models():
        assert function["VpcConfig"] == {"SubnetIds": subnets, "SecurityGroupIds": groups}


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
def failures_are_told_in_turn_and_kept_where_that_fails(made: Synth) -> None:
    source = made.only("Lambda::EventSourceMapping")
    assert source["ScalingConfig"] == {"MaximumConcurrency": 2}  # the least: sessions need the light function
    assert source["BatchSize"] == 10
    queues = {name: queue["Properties"] for name, queue in made.of_type("SQS::Queue").items()}
    failed = queues.pop(source["EventSourceArn"]["Fn::GetAtt"][0])
    ((unread, kept),) = queues.items()
    assert failed["RedrivePolicy"] == {
        "deadLetterTargetArn": {"Fn::GetAtt": [unread, "Arn"]},
        "maxReceiveCount": 3,
    }
    assert failed["VisibilityTimeout"] == 6 * made.light()["Timeout"]  # as AWS advises
    assert (failed["MessageRetentionPeriod"], kept["MessageRetentionPeriod"]) == (3600, 14 * 86_400)


@always
def nothing_is_said_without_tls(made: Synth) -> None:
    for kind, policies, named in (
        ("S3::Bucket", "S3::BucketPolicy", "Bucket"),
        ("SQS::Queue", "SQS::QueuePolicy", "Queues"),
        ("SNS::Topic", "SNS::TopicPolicy", "Topics"),
    ):
        held = [
            policy["Properties"][named]
            for policy in made.of_type(policies).values()
            for each in policy["Properties"]["PolicyDocument"]["Statement"]
            if (each["Effect"], each.get("Condition")) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})
        ]
        for name in made.of_type(kind):
            assert {"Ref": name} in held or [{"Ref": name}] in held


@always
def the_light_function_may_invoke_just_what_it_is_told_to(made: Synth) -> None:
    told = [part for part in joined(made.light(), "MODELS") if not isinstance(part, str)]
    assert len(told) == len(made.options.models)
    if made.options.provisioned_concurrency:
        assert {part["Ref"] for part in told} == set(made.of_type("Lambda::Alias"))
    else:
        assert all(part["Fn::GetAtt"][1] == "Arn" for part in told)
    (allowed,) = [
        statement["Resource"]
        for statement in statements(made)
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
        parts = joined(function, "CALLBACK_URL")
        assert parts[:3] == ["https://", {"Ref": api}, ".execute-api."]
        assert parts[-1] == "/prod"
    posting = [each for each in statements(made) if each["Action"] == "execute-api:ManageConnections"]
    assert len(posting) == 1 + len(made.options.models)
    for statement in posting:
        *_, of_api, path = statement["Resource"]["Fn::Join"][1]
        assert (of_api, path) == ({"Ref": api}, "/prod/POST/@connections/*")


@always
def functions_are_told_what_was_asked_for(made: Synth) -> None:
    options = made.options
    for part, function in zip(("prologue", *options.models), (made.light(), *made.models()), strict=True):
        variables = function["Environment"]["Variables"]
        assert variables["MODEL_SECONDS_PER_DAY"] == str(options.model_seconds_per_day)
        assert variables["MODEL_SECONDS_PER_DAY_TICKET"] == str(options.model_seconds_per_day_ticket)
        assert variables["MODEL_SECONDS_PER_DAY_ADDRESS"] == str(options.model_seconds_per_day_address)
        assert variables["POWERTOOLS_SERVICE_NAME"] == service_name(options, part)
    told = made.light()["Environment"]["Variables"]
    assert told["AUTH_MODE"] == options.auth
    assert told["ALLOWED_ORIGINS"] == ",".join(options.allowed_origins)
    assert told["WORLDS"] == ",".join(options.worlds)
    issuer = {
        "JWT_ISSUER": options.jwt and options.jwt.issuer,
        "JWT_AUDIENCE": options.jwt and options.jwt.audience,
        "JWT_JWKS_URL": options.jwt and options.jwt.jwks_url,
    }
    assert {name: value for name, value in told.items() if name.startswith("JWT_")} == {
        name: value for name, value in issuer.items() if value
    }


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
