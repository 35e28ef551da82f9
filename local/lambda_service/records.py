"""What a failed asynchronous invoke leaves behind: a destination record, in an SQS event.

Shapes: Lambda developer guide, "Capturing records of Lambda asynchronous invocations" and "Using Lambda with
Amazon SQS".
"""

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

from local.lambda_service.asynchronous import Discard
from local.lambda_service.settings import Identity

JsonObject = dict[str, Any]  # JSON in AWS's shapes


def destination_record(discard: Discard, *, function: str, identity: Identity, at: datetime) -> JsonObject:
    """A throttled event has status 429 and neither version, error nor response payload."""
    record: JsonObject = {
        "version": "1.0",
        "timestamp": at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "requestContext": {
            "requestId": discard.request_id,
            "functionArn": f"{identity.function_arn(function)}:{identity.version}",
            "condition": discard.condition.value,
            "approximateInvokeCount": discard.attempts,
        },
        "requestPayload": json.loads(discard.payload),
        "responseContext": {"statusCode": 429},
    }
    if discard.result is not None:
        record["responseContext"] = {
            "statusCode": 200,
            "executedVersion": identity.version,
            "functionError": "Unhandled",
        }
        record["responsePayload"] = json.loads(discard.result.payload)
    return record


def sqs_event(record: JsonObject, *, message_id: str, identity: Identity, at: datetime) -> JsonObject:
    """The event that a function gets whose event source is the failure queue; one record in it."""
    body = json.dumps(record)
    sent_ms = str(int(at.timestamp() * 1000))
    message = {
        "messageId": message_id,
        "receiptHandle": message_id,
        "body": body,
        "attributes": {
            "ApproximateReceiveCount": "1",
            "SentTimestamp": sent_ms,
            "SenderId": identity.account,
            "ApproximateFirstReceiveTimestamp": sent_ms,
        },
        "messageAttributes": {},
        "md5OfBody": hashlib.md5(body.encode(), usedforsecurity=False).hexdigest(),
        "eventSource": "aws:sqs",
        "eventSourceARN": f"arn:aws:sqs:{identity.region}:{identity.account}:{identity.failure_queue}",
        "awsRegion": identity.region,
    }
    return {"Records": [message]}
