"""What `@connections` answers, without I/O: status, headers and body as recorded from AWS.

Bodies of 413 and 429 were not recorded; clients tell these apart by `x-amzn-ErrorType`, which is documented.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus

from local.gateway.core import Connection, Core, State
from local.gateway.ids import is_short_id, request_uuid, short_id, trace_id


@dataclass(frozen=True)
class Answer:
    """An HTTP answer, and what it entails.

    `deliver` is the UTF-8 text to send to the client, already counted in its buffer; `closes` asks for the
    connection to be closed once all is sent.
    """

    status: HTTPStatus
    headers: dict[str, str]
    body: bytes = b""
    deliver: bytes | None = None
    closes: bool = False


def post(core: Core, connection_id: str, data: bytes, now: float) -> Answer:
    """POST: 200 once the data is buffered for the client, which proves nothing about its arrival.

    Invalid UTF-8 becomes U+FFFD, because the client gets a text message.
    """
    if len(data) > core.limits.message_bytes:
        body = b'{"message":"Request Too Long"}'
        return _error(core, now, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "PayloadTooLargeException", body)
    connection = _open(core, connection_id, now)
    if isinstance(connection, Answer):
        return connection
    text = data.decode("utf-8", "replace").encode("utf-8")
    if not core.buffer(connection_id, len(text), now):
        return _error(core, now, HTTPStatus.TOO_MANY_REQUESTS, "LimitExceededException")
    return Answer(HTTPStatus.OK, _headers(core, now), deliver=text)


def get(core: Core, connection_id: str, now: float) -> Answer:
    """GET: who is connected, since when, and when the last message went either way."""
    connection = _open(core, connection_id, now)
    if isinstance(connection, Answer):
        return connection
    identity = {"sourceIp": connection.peer.source_ip}
    if connection.peer.user_agent is not None:
        identity["userAgent"] = connection.peer.user_agent
    status = {
        "identity": identity,
        "connectedAt": _iso(connection.peer.connected_at),
        "lastActiveAt": _iso(connection.last_active),
    }
    body = json.dumps(status, indent=2, separators=(",", " : "), ensure_ascii=False).encode()
    return Answer(HTTPStatus.OK, _headers(core, now), body)


def delete(core: Core, connection_id: str, now: float) -> Answer:
    """DELETE: 204. The connection is gone from here at once; its close frame follows what was posted."""
    connection = _open(core, connection_id, now)
    if isinstance(connection, Answer):
        return connection
    core.closing(connection_id)
    headers = _headers(core, now)
    del headers["Content-Type"]
    return Answer(HTTPStatus.NO_CONTENT, headers, closes=True)


def _open(core: Core, connection_id: str, now: float) -> Connection | Answer:
    """An open connection, or the answer that there is none."""
    if not is_short_id(connection_id):
        body = json.dumps(
            {"message": f"Invalid connectionId: {connection_id}"}, separators=(",", ":")
        ).encode()
        answer = _error(core, now, HTTPStatus.BAD_REQUEST, "BadRequestException", body)
        del answer.headers["X-Amzn-Trace-Id"]  # refused before it is traced
        return answer
    connection = core.find(connection_id)
    if connection is None or connection.state is not State.OPEN:
        return _error(core, now, HTTPStatus.GONE, "GoneException")
    return connection


def _error(core: Core, now: float, status: HTTPStatus, error_type: str, body: bytes = b"") -> Answer:
    return Answer(status, {**_headers(core, now), "x-amzn-ErrorType": error_type}, body)


def _headers(core: Core, now: float) -> dict[str, str]:
    return {
        "Content-Type": "application/json",
        "x-amzn-RequestId": request_uuid(core.randomness),
        "x-amz-apigw-id": short_id(core.randomness),
        "X-Amzn-Trace-Id": trace_id(core.randomness, now),
    }


def _iso(moment: float) -> str:
    text = datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")
