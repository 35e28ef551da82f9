"""Destination records and SQS events in AWS's shapes."""

import hashlib
import json
from datetime import UTC, datetime

from local.lambda_service.asynchronous import Condition, Discard
from local.lambda_service.records import destination_record, sqs_event
from local.lambda_service.result import InvokeResult
from local.lambda_service.settings import load_settings

AT = datetime(2026, 11, 21, 8, 6, 27, 123456, tzinfo=UTC)
IDENTITY = load_settings().identity


def test_record_of_a_failed_invoke() -> None:
    result = InvokeResult(b'{"errorMessage": "boom", "errorType": "ValueError"}', failed=True)
    discard = Discard("id-1", b'{"turn": 1}', Condition.RETRIES_EXHAUSTED, 3, result)
    assert destination_record(discard, function="model", identity=IDENTITY, at=AT) == {
        "version": "1.0",
        "timestamp": "2026-11-21T08:06:27.123Z",
        "requestContext": {
            "requestId": "id-1",
            "functionArn": "arn:aws:lambda:us-east-1:012345678912:function:model:$LATEST",
            "condition": "RetriesExhausted",
            "approximateInvokeCount": 3,
        },
        "requestPayload": {"turn": 1},
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
        "responsePayload": {"errorMessage": "boom", "errorType": "ValueError"},
    }


def test_record_of_an_event_that_never_ran() -> None:
    discard = Discard("id-1", b"{}", Condition.EVENT_AGE_EXCEEDED, 0, None)
    record = destination_record(discard, function="model", identity=IDENTITY, at=AT)
    assert record["requestContext"]["condition"] == "EventAgeExceeded"
    assert record["requestContext"]["approximateInvokeCount"] == 0
    assert record["responseContext"] == {"statusCode": 429}
    assert "responsePayload" not in record


def test_sqs_event_carries_the_record_as_text() -> None:
    event = sqs_event({"version": "1.0"}, message_id="m-1", identity=IDENTITY, at=AT)
    (message,) = event["Records"]
    assert json.loads(message["body"]) == {"version": "1.0"}
    assert message["messageId"] == "m-1"
    assert message["eventSource"] == "aws:sqs"
    assert message["eventSourceARN"] == "arn:aws:sqs:us-east-1:012345678912:model-failures"
    assert message["awsRegion"] == "us-east-1"
    assert message["attributes"]["SentTimestamp"] == "1795248387123"
    assert message["md5OfBody"] == hashlib.md5(message["body"].encode()).hexdigest()
