"""The gateway's decisions, with a fake clock and fixed randomness: events, routes, frames, deadlines."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from local.gateway.core import (
    FORBIDDEN,
    GOING_AWAY,
    INTERNAL,
    ROUTES,
    TIMED_OUT,
    Call,
    Core,
    answer_status,
)
from local.gateway.events import Api, Close, Upgrade
from local.gateway.ids import is_short_id
from local.gateway.limits import load_limits

NOW = 1708326702.25  # 19 February 2024, 07:11:42 UTC
LIMITS = load_limits()
API = Api("prod", "127.0.0.1:8765", 8765, "abc123")
UPGRADE = Upgrade(
    [
        ("Host", "127.0.0.1:8765"),
        ("Upgrade", "websocket"),
        ("Connection", "keep-alive, Upgrade"),
        ("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="),
        ("Sec-WebSocket-Version", "13"),
        ("Cookie", "a=1"),
        ("Cookie", "b=2"),
        ("User-Agent", "Mozilla/5.0"),
        ("Origin", "http://127.0.0.1:8000"),
    ],
    "",
    "192.0.2.7",
)


def core(routes: frozenset[str] = ROUTES) -> Core:
    counter = itertools.count(1)
    return Core(LIMITS, API, randomness=lambda n: next(counter).to_bytes(n, "big"), routes=routes)


def opened(gateway: Core, now: float = NOW, upgrade: Upgrade = UPGRADE) -> str:
    connection_id = gateway.connect(upgrade, now).connection_id
    gateway.accept(connection_id, now)
    return connection_id


def event_of(call: Call) -> dict[str, Any]:
    assert call.event is not None
    json.dumps(call.event)  # an event is JSON
    return call.event


def test_connect_event_key_by_key() -> None:
    call = core().connect(UPGRADE, NOW)
    event = event_of(call)
    headers = {
        "Cookie": "b=2",
        "Host": "127.0.0.1:8765",
        "Origin": "http://127.0.0.1:8000",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec-WebSocket-Version": "13",
        "User-Agent": "Mozilla/5.0",
        "X-Amzn-Trace-Id": "Root=1-65d2ff2e-000000000000000000000003",
        "X-Forwarded-For": "192.0.2.7",
        "X-Forwarded-Port": "8765",
        "X-Forwarded-Proto": "http",
    }
    assert event == {
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()} | {"Cookie": ["a=1", "b=2"]},
        "requestContext": {
            "routeKey": "$connect",
            "eventType": "CONNECT",
            "extendedRequestId": call.request_id,
            "requestTime": "19/Feb/2024:07:11:42 +0000",
            "messageDirection": "IN",
            "stage": "prod",
            "connectedAt": 1708326702250,
            "requestTimeEpoch": 1708326702250,
            "identity": {"sourceIp": "192.0.2.7", "userAgent": "Mozilla/5.0"},
            "requestId": call.request_id,
            "domainName": "127.0.0.1:8765",
            "connectionId": call.connection_id,
            "apiId": "abc123",
        },
        "isBase64Encoded": False,
    }
    assert list(event["headers"]) == sorted(headers)


def test_connect_event_has_the_query_string_only_if_there_is_one() -> None:
    query = Upgrade([], "ticket=a%20b&world=x&world=y&empty=", "192.0.2.7")
    event = event_of(core().connect(query, NOW))
    assert event["queryStringParameters"] == {"ticket": "a b", "world": "y", "empty": ""}
    assert event["multiValueQueryStringParameters"] == {"ticket": ["a b"], "world": ["x", "y"], "empty": [""]}
    assert "userAgent" not in event["requestContext"]["identity"]
    assert "queryStringParameters" not in event_of(core().connect(UPGRADE, NOW))


def test_an_earlier_proxy_stays_in_x_forwarded_for() -> None:
    proxied = Upgrade([("x-forwarded-for", "198.51.100.1")], "", "192.0.2.7")
    headers = event_of(core().connect(proxied, NOW))["headers"]
    assert headers["X-Forwarded-For"] == "198.51.100.1, 192.0.2.7"
    assert "x-forwarded-for" not in headers


def test_message_event_key_by_key() -> None:
    gateway = core()
    connection_id = opened(gateway)
    call = gateway.message(connection_id, '{"action":"say","text":"🦁 ça"}', NOW + 1)
    event = event_of(call)
    context = event["requestContext"]
    assert event == {
        "requestContext": {
            "routeKey": "$default",
            "messageId": context["messageId"],
            "eventType": "MESSAGE",
            "extendedRequestId": call.request_id,
            "requestTime": "19/Feb/2024:07:11:43 +0000",
            "messageDirection": "IN",
            "stage": "prod",
            "connectedAt": 1708326702250,
            "requestTimeEpoch": 1708326703250,
            "identity": {"sourceIp": "192.0.2.7", "userAgent": "Mozilla/5.0"},
            "requestId": call.request_id,
            "domainName": "127.0.0.1:8765",
            "connectionId": connection_id,
            "apiId": "abc123",
        },
        "body": '{"action":"say","text":"🦁 ça"}',
        "isBase64Encoded": False,
    }
    assert is_short_id(context["messageId"])
    assert len({context["messageId"], call.request_id, connection_id}) == 3


def test_disconnect_event_key_by_key() -> None:
    gateway = core()
    connection_id = opened(gateway)
    call = gateway.closed(connection_id, Close(4001, "bye"), NOW + 2)
    headers = {"Host": "127.0.0.1:8765", "x-api-key": "", "X-Forwarded-For": "", "x-restapi": ""}
    assert event_of(call) == {
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "requestContext": {
            "routeKey": "$disconnect",
            "disconnectStatusCode": 4001,
            "eventType": "DISCONNECT",
            "extendedRequestId": call.request_id,
            "requestTime": "19/Feb/2024:07:11:44 +0000",
            "messageDirection": "IN",
            "disconnectReason": "bye",
            "stage": "prod",
            "connectedAt": 1708326702250,
            "requestTimeEpoch": 1708326704250,
            "identity": {"sourceIp": "192.0.2.7", "userAgent": "Mozilla/5.0"},
            "requestId": call.request_id,
            "domainName": "127.0.0.1:8765",
            "connectionId": connection_id,
            "apiId": "abc123",
        },
        "isBase64Encoded": False,
    }
    assert gateway.find(connection_id) is None


@pytest.mark.parametrize("text", ["PJqB0fHsqRcCHlw=", "HXT_RfBnPHcCIIg=", "WDGT-Gy-DoEFoaQ="])
def test_recorded_ids_have_the_form_of_an_id(text: str) -> None:
    assert is_short_id(text)


@pytest.mark.parametrize("text", ["", "PJqB0fHsqRcCHlw", "PJqB0fHsqRcCHlw=x", "PJqB0fHs/RcCHlw=", "nonsense"])
def test_other_texts_do_not(text: str) -> None:
    assert not is_short_id(text)


def test_an_id_is_eleven_bytes_in_url_safe_base64() -> None:
    gateway = Core(LIMITS, API, randomness=lambda n: b"\xff" * n)
    assert gateway.connect(UPGRADE, NOW).connection_id == "______________8="


@pytest.mark.parametrize(
    ("body", "route_key"),
    [
        ('{"action":"say"}', "say"),
        ('{"action":"Say"}', "$default"),
        ('{"action":"shout"}', "$default"),
        ('{"action":"$connect"}', "$default"),
        ('{"action":["say"]}', "$default"),
        ('{"action":null}', "$default"),
        ("{}", "$default"),
        ('["say"]', "$default"),
        ("say", "$default"),
        ("", "$default"),
        ("[" * 130_000, "$default"),
    ],
    ids=range(11),
)
def test_a_route_is_the_exact_value_of_action(body: str, route_key: str) -> None:
    gateway = core(ROUTES | {"say"})
    event = event_of(gateway.message(opened(gateway), body, NOW))
    assert event["requestContext"]["routeKey"] == route_key


def test_without_a_default_route_there_may_be_no_route() -> None:
    gateway = core(frozenset({"say"}))
    assert gateway.connect(UPGRADE, NOW).event is None
    connection_id = opened(gateway)
    assert gateway.message(connection_id, "{}", NOW).event is None
    assert gateway.message(connection_id, '{"action":"say"}', NOW).event is not None
    assert gateway.closed(connection_id, GOING_AWAY, NOW).event is None


@pytest.mark.parametrize(
    ("message", "connection_id", "request_id", "frame"),
    [
        (
            FORBIDDEN,
            "eHrdFcnvvHcCE-w=",
            "eHrjDEuVPHcFWMg=",
            '{"message": "Forbidden", "connectionId":"eHrdFcnvvHcCE-w=", "requestId":"eHrjDEuVPHcFWMg="}',
        ),
        (
            INTERNAL,
            "HXT_RfBnPHcCIIg=",
            "HXUAmGGZvHcF33A=",
            '{"message": "Internal server error", "connectionId":"HXT_RfBnPHcCIIg=", '
            '"requestId":"HXUAmGGZvHcF33A="}',
        ),
        (
            TIMED_OUT,
            "Llf4ceE2NjMCF7w=",
            "Llf7PFSNNjMFZeA=",
            '{"message": "Endpoint request timed out", "connectionId":"Llf4ceE2NjMCF7w=", '
            '"requestId":"Llf7PFSNNjMFZeA="}',
        ),
    ],
)
def test_error_frames_are_those_recorded(
    message: str, connection_id: str, request_id: str, frame: str
) -> None:
    assert Call(connection_id, request_id, None).error(message) == frame


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ({"statusCode": 200}, 200),
        ({"statusCode": "403", "body": "no", "headers": {"a": "b"}}, 403),
        ({"statusCode": 200, "body": None, "headers": None, "isBase64Encoded": False}, 200),
        (None, None),
        ({}, None),
        ("ok", None),
        ({"statusCode": 101}, None),
        ({"statusCode": True}, None),
        ({"statusCode": 200, "body": {"text": "not a string"}}, None),
        ({"statusCode": 200, "headers": ["a"]}, None),
        ({"statusCode": 200, "Data": "unknown key"}, None),
    ],
)
def test_what_counts_as_an_answer(answer: object, status: int | None) -> None:
    assert answer_status(answer) == status


def test_ten_idle_minutes_end_a_connection() -> None:
    gateway = core()
    connection_id = opened(gateway)
    assert gateway.deadline(connection_id) == NOW + 600


def test_messages_either_way_put_the_idle_end_off() -> None:
    gateway = core()
    connection_id = opened(gateway)
    gateway.message(connection_id, "ping", NOW + 500)
    assert gateway.deadline(connection_id) == NOW + 1100
    assert gateway.buffer(connection_id, 4, NOW + 1000)
    assert gateway.deadline(connection_id) == NOW + 1600


def test_two_hours_end_the_busiest_connection() -> None:
    gateway = core()
    connection_id = opened(gateway)
    for minute in range(1, 120):
        gateway.message(connection_id, "ping", NOW + 60 * minute)
    assert gateway.deadline(connection_id) == NOW + 7200


def test_a_client_buffer_fills_and_drains() -> None:
    gateway = core()
    connection_id = opened(gateway)
    assert gateway.buffer(connection_id, LIMITS.client_buffer_bytes, NOW)
    assert not gateway.buffer(connection_id, 1, NOW)
    gateway.sent(connection_id, 1)
    assert gateway.buffer(connection_id, 1, NOW)


def test_a_refused_connection_is_forgotten() -> None:
    gateway = core()
    connection_id = gateway.connect(UPGRADE, NOW).connection_id
    assert gateway.find(connection_id) is not None
    gateway.refuse(connection_id)
    assert gateway.find(connection_id) is None


def test_the_limits_are_the_platforms() -> None:
    assert (LIMITS.frame_bytes, LIMITS.message_bytes) == (32 * 1024, 128 * 1024)
    assert (LIMITS.idle_s, LIMITS.life_s, LIMITS.integration_timeout_s) == (600, 7200, 29)


@pytest.mark.parametrize(
    ("text", "named"),
    [("idle_s = -1", "idle_s"), ("ilde_s = 1", "ilde_s"), ("idle_s =", "at end of document")],
)
def test_bad_limits_name_the_file_and_the_key(tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "limits.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"limits\.toml: not valid gateway limits") as caught:
        load_limits(path)
    assert named in str(caught.value)
