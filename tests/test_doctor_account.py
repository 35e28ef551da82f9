"""The doctor on the account: credentials, bootstrap and what Lambda may have."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.stub import ANY
from moto import mock_aws

from infra.context import read_options
from infra.doctor.account import Aws, asked, bootstrap, credentials, region
from infra.doctor.finding import Finding, Level
from infra.doctor.quotas import MEMORY, bandwidth, concurrency, memory, quotas
from infra.doctor.wanted import Model, Wanted
from lambda_image.engine.convert.catalog import load_catalog
from tests.doctor_house import stubbed, text

FRESH = {"ConcurrentExecutions": 10, "UnreservedConcurrentExecutions": 10}
USUAL = {"ConcurrentExecutions": 1000, "UnreservedConcurrentExecutions": 1000}
REFUSED = "'MemorySize' value failed to satisfy constraint: Member must have value less than or equal to 3008"


def wanted(name: str = "llama3.1-8b", **options: Any) -> Wanted:
    read = read_options(
        {"curtain:models": name} | {f"curtain:{key}": value for key, value in options.items()}
    )
    entry = load_catalog().find(name)
    model = Model(name=name, entry=entry, memory_mb=read.memory_of(name), bundle=read.bundles / name)
    return Wanted(context={}, options=read, models=(model,))


@pytest.fixture
def moto_aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDTEST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "SECRETTEST")
    with mock_aws():
        yield Aws(session=boto3.Session(region_name="eu-west-1"))


def settings(limits: dict[str, int]) -> dict[str, Any]:
    return {"AccountLimit": limits, "AccountUsage": {}}


def look_at_memory(
    functions: list[int], refusal: tuple[str, str] | None, limits: dict[str, int] | None
) -> Finding:
    """What the doctor says of an account with such functions, that answers so."""
    aws, session = stubbed()
    with session.answering("lambda") as answers:
        answers.add_response("list_functions", {"Functions": [{"MemorySize": size} for size in functions]})
        if refusal is not None:
            code, message = refusal
            answers.add_client_error(
                "update_function_configuration",
                code,
                message,
                400,
                expected_params={"FunctionName": ANY, "MemorySize": 10_240},
            )
        if limits is not None:
            answers.add_response("get_account_settings", settings(limits))
        return memory(aws, wanted(memory_mb=10_240))


def test_whose_credentials_they_are(moto_aws: Aws) -> None:
    found = credentials(moto_aws)
    assert found.level is Level.OK
    assert "123456789012" in found.says


def test_no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    found = credentials(Aws(session=boto3.Session()))
    assert found.level is Level.BLOCKS
    assert "aws login" in found.do


@pytest.mark.parametrize(
    ("code", "says"),
    [("ExpiredToken", "they have expired"), ("InvalidClientTokenId", "InvalidClientTokenId")],
)
def test_credentials_that_are_refused(code: str, says: str) -> None:
    aws, session = stubbed()
    with session.answering("sts") as answers:
        answers.add_client_error("get_caller_identity", code, "the token SECRETTEST", 403)
        found = credentials(aws)
    assert found.level is Level.BLOCKS
    assert says in found.says


def test_the_root_user_is_advised_against() -> None:
    aws, session = stubbed()
    with session.answering("sts") as answers:
        caller = {"Account": "123456789012", "Arn": "arn:aws:iam::123456789012:root", "UserId": "1"}
        answers.add_response("get_caller_identity", caller)
        assert credentials(aws).level is Level.TODO


@pytest.mark.parametrize(
    ("name", "level"), [("us-east-1", Level.OK), ("us-east-11", Level.BLOCKS), (None, Level.BLOCKS)]
)
def test_the_region(name: str | None, level: Level, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(variable, raising=False)
    assert region(stubbed(name)[0]).level is level


@mock_aws
def test_an_account_that_was_never_bootstrapped() -> None:
    aws, session = stubbed()
    with session.answering("cloudformation") as answers:
        answers.add_client_error("describe_stacks", "ValidationError", "Stack CDKToolkit does not exist")
        found = bootstrap(aws)
    assert found.level is Level.BLOCKS
    assert found.do == ".venv/bin/python -m tools.cdk bootstrap"


@mock_aws
def test_a_bootstrap_that_broke_off() -> None:
    aws, session = stubbed()
    state = {"StackName": "CDKToolkit", "StackStatus": "ROLLBACK_COMPLETE", "CreationTime": 0}
    with session.answering("cloudformation") as answers:
        answers.add_response("describe_stacks", {"Stacks": [state]}, {"StackName": "CDKToolkit"})
        found = bootstrap(aws)
    assert found.level is Level.BLOCKS
    assert "ROLLBACK_COMPLETE" in found.says


@pytest.mark.parametrize(("version", "level"), [("30", Level.OK), ("8", Level.OK), ("7", Level.BLOCKS)])
def test_the_version_of_the_bootstrap(moto_aws: Aws, version: str, level: Level) -> None:
    name = "/cdk-bootstrap/hnb659fds/version"
    moto_aws.ssm().put_parameter(Name=name, Value=version, Type="String")
    assert bootstrap(moto_aws).level is level


def test_every_account_may_have_a_small_function() -> None:
    assert memory(stubbed()[0], wanted("demo")).level is Level.OK  # asks nobody: nothing is stubbed


def test_a_large_function_proves_that_there_is_no_low_limit() -> None:
    assert look_at_memory([128, 5120], None, None).level is Level.OK


def test_lambdas_refusal_proves_the_limit() -> None:
    found = look_at_memory([3008], ("ValidationException", REFUSED), None)
    assert found.level is Level.BLOCKS
    assert "3,008 MB at most, 10,240 are wanted" in found.says
    sentence = re.search(r'write: "(.+?)"', found.do)
    assert sentence is not None
    assert "in us-east-1 from 3,008 MB to 10,240 MB for this account" in sentence[1]
    fitting = found.do.rsplit(": ", 1)[1].split(", ")
    assert "qwen2.5-1.5b" in fitting
    assert all(load_catalog().find(name).memory_mb <= 3008 for name in fitting)


@pytest.mark.parametrize(
    ("limits", "level", "says"),
    [
        (FRESH, Level.BLOCKS, "most likely 3,008 MB at most"),
        (USUAL, Level.OK, "nothing speaks against 10,240 MB"),
    ],
)
def test_no_such_function_proves_nothing(limits: dict[str, int], level: Level, says: str) -> None:
    found = look_at_memory([], ("ResourceNotFoundException", "Function not found"), limits)
    assert found.level is level
    assert says in found.says
    assert ("--no-doctor" in found.do) == (level is Level.BLOCKS)  # a guess never has the last word


def test_the_question_changes_no_function(moto_aws: Aws) -> None:
    """Against moto, which answers it as Lambda does, and has no GetAccountSettings."""
    found = asked(MEMORY, "lambda:GetAccountSettings", lambda: memory(moto_aws, wanted(memory_mb=10_240)))
    assert found.level is Level.TODO
    assert moto_aws.lambda_().list_functions()["Functions"] == []


def look_at_concurrency(
    limit: int, unreserved: int, *, own: int | None = None, asks: bool = False, **options: Any
) -> Finding:
    """`own`: what the stack that is there has reserved for its function; None: there is none. `asks`: whether
    it must come to that question."""
    aws, session = stubbed()
    limits = {"ConcurrentExecutions": limit, "UnreservedConcurrentExecutions": unreserved}
    with session.answering("lambda") as answers, session.answering("cloudformation") as stacks:
        answers.add_response("get_account_settings", settings(limits))
        if own is not None:
            rows = [
                resource("Model", "AWS::Lambda::Function", "CREATE_COMPLETE"),
                resource("Failed", "AWS::Lambda::Function", "DELETE_COMPLETE"),
                resource("Queue", "AWS::SQS::Queue", "CREATE_COMPLETE"),
            ]
            stacks.add_response("list_stack_resources", {"StackResourceSummaries": rows})
            reserved = {"ReservedConcurrentExecutions": own}
            answers.add_response("get_function_concurrency", reserved, {"FunctionName": "the-Model"})
        elif asks:
            stacks.add_client_error("list_stack_resources", "ValidationError", "does not exist")
        return concurrency(aws, wanted(**options))


def resource(name: str, kind: str, status: str) -> dict[str, Any]:
    return {
        "LogicalResourceId": name,
        "PhysicalResourceId": f"the-{name}",
        "ResourceType": kind,
        "LastUpdatedTimestamp": datetime(2026, 11, 21, tzinfo=UTC),
        "ResourceStatus": status,
    }


def test_the_defaults_do_in_a_fresh_account() -> None:
    found = look_at_concurrency(10, 10)
    assert found.level is Level.OK
    assert "0 can be reserved: 2 listeners" in found.says


def test_a_reservation_that_the_account_has_no_room_for() -> None:
    found = look_at_concurrency(150, 110, asks=True, reserved_concurrency=20, account_concurrency=150)
    assert found.level is Level.BLOCKS
    assert "20 environments are to be set apart, 10 can be" in found.says
    assert "40 are reserved already" in found.says
    assert "curtain:reserved_concurrency" in found.do


def test_a_reservation_that_fits() -> None:
    assert look_at_concurrency(150, 150, reserved_concurrency=50, account_concurrency=150).level is Level.OK


def test_what_the_stack_has_reserved_it_does_not_need_twice() -> None:
    wants: dict[str, Any] = {"reserved_concurrency": 50, "account_concurrency": 150}
    assert look_at_concurrency(150, 100, own=50, **wants).level is Level.OK
    assert look_at_concurrency(150, 100, own=49, **wants).level is Level.BLOCKS


def test_what_is_kept_awake_needs_room_as_well() -> None:
    wants: dict[str, Any] = {"provisioned_concurrency": 2, "account_concurrency": 150}
    found = look_at_concurrency(150, 101, asks=True, **wants)
    assert found.level is Level.BLOCKS
    assert "2 environments are to be set apart, 1 can be" in found.says
    assert "leave curtain:provisioned_concurrency out" in found.do
    assert look_at_concurrency(150, 102, **wants).level is Level.OK


def test_what_is_reserved_for_the_light_function_needs_room_as_well() -> None:
    wants: dict[str, Any] = {"light_concurrency": 20, "account_concurrency": 150}
    found = look_at_concurrency(150, 119, asks=True, **wants)
    assert found.level is Level.BLOCKS
    assert "20 environments are to be set apart, 19 can be" in found.says
    assert "leave curtain:light_concurrency out" in found.do
    assert look_at_concurrency(150, 120, **wants).level is Level.OK


def test_more_concurrency_is_promised_than_there_is() -> None:
    found = look_at_concurrency(10, 10, account_concurrency=1000)
    assert found.level is Level.BLOCKS
    assert "set curtain:account_concurrency to 10" in found.do


def test_five_are_kept_for_the_light_function() -> None:
    found = look_at_concurrency(10, 10, capacity=6)
    assert found.level is Level.TODO
    assert "5 listeners at a time for each model, not 6" in found.says
    assert "L-B99A9384" in found.do


def test_an_account_that_has_more_than_the_options_know() -> None:
    found = look_at_concurrency(1000, 1000, capacity=20)
    assert found.level is Level.TODO
    assert "set curtain:account_concurrency to 1000" in found.do


@pytest.mark.parametrize(
    ("names", "says", "do"),
    [
        (["Network bandwidth per execution environment (Mbps)"], "625 Mbps", "--quota-code L-NET"),
        (["Concurrent executions"], "doesn't list it", "Service Quotas"),
    ],
)
def test_bandwidth_is_of_no_need(names: list[str], says: str, do: str) -> None:
    aws, session = stubbed()
    listed = [{"QuotaName": name, "QuotaCode": "L-NET", "Value": 625.0} for name in names]
    with session.answering("service-quotas") as answers:
        answers.add_response("list_service_quotas", {"Quotas": listed}, {"ServiceCode": "lambda"})
        found = bandwidth(aws)
    assert found.level is Level.OK
    assert says in found.says
    assert do in found.do


def test_bandwidth_is_worth_asking_for_where_weights_come_over_the_network() -> None:
    aws, session = stubbed()
    with session.answering("service-quotas") as answers:
        answers.add_response("list_service_quotas", {"Quotas": []})
        found = bandwidth(aws, streamed=True)
    assert found.level is Level.TODO
    assert "the weights come over the network, at every cold start" in found.says
    assert "Request increase, to 3000" in found.do


def test_bandwidth_that_has_been_granted() -> None:
    aws, session = stubbed()
    quota = {"QuotaName": "Network bandwidth per execution environment", "QuotaCode": "L-N", "Value": 3000.0}
    with session.answering("service-quotas") as answers:
        answers.add_response("list_service_quotas", {"Quotas": [quota]})
        assert bandwidth(aws).says == "3,000 Mbps at full memory"


def test_what_the_user_may_not_ask_is_said_and_does_not_block() -> None:
    aws, session = stubbed()
    denied = ("AccessDeniedException", "User with token SECRETTEST is not authorized")
    with session.answering("lambda") as lambdas, session.answering("service-quotas") as services:
        lambdas.add_client_error("list_functions", *denied)
        lambdas.add_client_error("update_function_configuration", *denied)
        lambdas.add_client_error("get_account_settings", *denied)
        lambdas.add_client_error("get_account_settings", *denied)
        services.add_client_error("list_service_quotas", *denied)
        found = list(quotas(aws, wanted()))
    assert [finding.level for finding in found] == [Level.TODO] * 3
    assert all("AccessDeniedException" in finding.says for finding in found)
    assert "SECRETTEST" not in "".join(map(text, found))
