"""boto3's own client against the Invoke API."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from aiohttp import ClientSession, web
from botocore.config import Config
from botocore.exceptions import ClientError
from mypy_boto3_lambda.client import LambdaClient

from local.lambda_service.config import FunctionConfig
from local.lambda_service.invoke_api import add_routes
from local.lambda_service.service import LambdaService

HANDLER = """
import os, time

def handler(event, context):
    if "until" in event:
        open(event["began"], "w").close()
        while not os.path.exists(event["until"]):
            time.sleep(0.002)
    if "fail" in event:
        raise ValueError(event["fail"])
    return {"event": event, "request_id": context.aws_request_id}
"""

Play = Callable[[LambdaClient], Any]


def play(folder: Path, scene: Play) -> dict[str, Any] | None:
    """Run `scene` in a thread with a client of a served function `tale`; the SQS event it caused, if any."""
    (folder / "tale.py").write_text(HANDLER, encoding="utf-8")
    failures: list[dict[str, Any]] = []

    async def failed(event: dict[str, Any]) -> None:
        failures.append(event)
        (folder / "failed").touch()

    async def main() -> None:
        service = LambdaService(
            {"tale": FunctionConfig(handler="tale.handler", task_root=folder, environments=1)},
            on_failure=failed,
            log=lambda environment, line: None,
        )
        app = web.Application()
        add_routes(app, service)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0]
        await service.start()
        try:
            await asyncio.to_thread(lambda: scene(client(f"http://{host}:{port}")))
        finally:
            await service.stop()
            await runner.cleanup()

    asyncio.run(main())
    return failures[0] if failures else None


def client(url: str) -> LambdaClient:
    return boto3.client(
        "lambda",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="x",
        config=Config(retries={"total_max_attempts": 1}),
    )


def wait_for(path: Path) -> None:
    async def appear() -> None:
        async with asyncio.timeout(30):
            while not path.exists():
                await asyncio.sleep(0.005)

    asyncio.run(appear())


def refusal(call: Callable[[], Any], status: int, code: str) -> str:
    """The message of the `ClientError` that `call` must raise."""
    with pytest.raises(ClientError) as raised:
        call()
    response = raised.value.response
    assert response["ResponseMetadata"]["HTTPStatusCode"] == status
    assert response["Error"]["Code"] == code
    return response["Error"]["Message"]


def test_request_and_response(tmp_path: Path) -> None:
    def scene(lambda_: LambdaClient) -> None:
        answer = lambda_.invoke(FunctionName="tale", Payload=json.dumps({"turn": 7}))
        assert answer["StatusCode"] == 200
        assert answer["ExecutedVersion"] == "$LATEST"
        assert "FunctionError" not in answer
        reply = json.loads(answer["Payload"].read())
        assert reply == {"event": {"turn": 7}, "request_id": answer["ResponseMetadata"]["RequestId"]}

    assert play(tmp_path, scene) is None


@pytest.mark.parametrize(
    "name",
    [
        "tale:$LATEST",
        "function:tale",
        "012345678912:function:tale",
        "arn:aws:lambda:us-east-1:012345678912:function:tale",
        "arn:aws:lambda:us-east-1:012345678912:function:tale:$LATEST",
    ],
)
def test_every_form_of_a_functions_name(tmp_path: Path, name: str) -> None:
    def scene(lambda_: LambdaClient) -> None:
        assert lambda_.invoke(FunctionName=name, InvocationType="DryRun")["StatusCode"] == 204

    play(tmp_path, scene)


def test_no_payload_is_an_empty_event(tmp_path: Path) -> None:
    def scene(lambda_: LambdaClient) -> None:
        assert json.loads(lambda_.invoke(FunctionName="tale")["Payload"].read())["event"] == {}

    play(tmp_path, scene)


def test_a_function_error_is_told_by_its_header(tmp_path: Path) -> None:
    def scene(lambda_: LambdaClient) -> None:
        answer = lambda_.invoke(FunctionName="tale", Payload=json.dumps({"fail": "no such scene"}))
        assert answer["StatusCode"] == 200
        assert answer["FunctionError"] == "Unhandled"
        error = json.loads(answer["Payload"].read())
        assert (error["errorType"], error["errorMessage"]) == ("ValueError", "no such scene")

    play(tmp_path, scene)


def test_a_reply_that_looks_like_an_error_is_a_reply(tmp_path: Path) -> None:
    def scene(lambda_: LambdaClient) -> None:
        lookalike = json.dumps({"errorType": "ValueError", "errorMessage": "as data"})
        assert "FunctionError" not in lambda_.invoke(FunctionName="tale", Payload=lookalike)

    play(tmp_path, scene)


def test_an_event_is_accepted_at_once_and_its_failure_reported(tmp_path: Path) -> None:
    ids: list[str] = []

    def scene(lambda_: LambdaClient) -> None:
        payload = {"until": str(tmp_path / "go"), "began": str(tmp_path / "began"), "fail": "later"}
        answer = lambda_.invoke(FunctionName="tale", InvocationType="Event", Payload=json.dumps(payload))
        assert answer["StatusCode"] == 202
        assert answer["Payload"].read() == b""
        ids.append(answer["ResponseMetadata"]["RequestId"])
        (tmp_path / "go").touch()
        wait_for(tmp_path / "failed")

    event = play(tmp_path, scene)
    assert event
    record = json.loads(event["Records"][0]["body"])
    assert record["requestContext"]["requestId"] == ids[0]
    assert record["responsePayload"]["errorMessage"] == "later"


def test_a_caller_who_must_wait_for_a_busy_function_is_refused(tmp_path: Path) -> None:
    def scene(lambda_: LambdaClient) -> None:
        payload = {"until": str(tmp_path / "go"), "began": str(tmp_path / "began")}
        lambda_.invoke(FunctionName="tale", InvocationType="Event", Payload=json.dumps(payload))
        wait_for(tmp_path / "began")
        message = refusal(lambda: lambda_.invoke(FunctionName="tale"), 429, "TooManyRequestsException")
        assert message == "Rate Exceeded."

    play(tmp_path, scene)


def test_refusals(tmp_path: Path) -> None:
    def scene(lambda_: LambdaClient) -> None:
        message = refusal(lambda: lambda_.invoke(FunctionName="fable"), 404, "ResourceNotFoundException")
        assert message == "Function not found: arn:aws:lambda:us-east-1:012345678912:function:fable"
        refusal(
            lambda: lambda_.invoke(FunctionName="tale", Qualifier="live"), 404, "ResourceNotFoundException"
        )
        message = refusal(
            lambda: lambda_.invoke(FunctionName="tale", Payload=b"{turn"),
            400,
            "InvalidRequestContentException",
        )
        assert message.startswith("Could not parse request body into json")
        wrong_type: Any = "Later"
        refusal(
            lambda: lambda_.invoke(FunctionName="tale", InvocationType=wrong_type),
            400,
            "InvalidParameterValueException",
        )

    play(tmp_path, scene)


def test_the_size_of_a_payload_is_limited_by_how_it_is_sent(tmp_path: Path) -> None:
    def scene(lambda_: LambdaClient) -> None:
        def invoke(kind: Any, size: int) -> Any:
            payload = b'"' + b"x" * (size - 2) + b'"'
            return lambda_.invoke(FunctionName="tale", InvocationType=kind, Payload=payload)

        # DryRun shows that the largest synchronous payload is let through without running it.
        assert invoke("DryRun", 6_291_456)["StatusCode"] == 204
        message = refusal(lambda: invoke("RequestResponse", 6_291_457), 413, "RequestTooLargeException")
        assert message.startswith("Request must be smaller than 6291456 bytes")
        assert invoke("Event", 1_048_576)["StatusCode"] == 202
        refusal(lambda: invoke("Event", 1_048_577), 413, "RequestTooLargeException")

    play(tmp_path, scene)


def test_a_name_that_is_none(tmp_path: Path) -> None:
    # boto3 checks names itself, so this asks without it.
    def scene(lambda_: LambdaClient) -> None:
        async def ask() -> None:
            url = f"{lambda_.meta.endpoint_url}/2015-03-31/functions/no%20name/invocations"
            async with ClientSession() as session, session.post(url, data=b"{}") as answer:
                assert answer.status == 400
                assert answer.headers["x-amzn-ErrorType"] == "InvalidParameterValueException"

        asyncio.run(ask())

    play(tmp_path, scene)
