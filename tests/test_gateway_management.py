"""`@connections` decisions against recorded answers, with a fake clock and fixed randomness. No I/O."""

import itertools

import pytest

from local.gateway.core import Core
from local.gateway.events import Api, Upgrade
from local.gateway.limits import load_limits
from local.gateway.management import Answer, delete, get, post

NOW = 1605442994.726
LIMITS = load_limits()
COMMON = {"x-amzn-RequestId", "x-amz-apigw-id"}
UNKNOWN = "WDGT8fY4joECJrQ="


@pytest.fixture
def core() -> Core:
    counter = itertools.count(1)
    return Core(LIMITS, Api("prod"), randomness=lambda n: next(counter).to_bytes(n, "big"))


def connect(core: Core) -> str:
    agent = ("User-Agent", "Mozilla/5.0 (é)")
    return core.connect(Upgrade([agent], "", "1.2.3.4"), NOW).connection_id


def opened(core: Core) -> str:
    connection_id = connect(core)
    core.accept(connection_id, NOW)
    return connection_id


def said(answer: Answer) -> tuple[int, str | None, str | None, bytes]:
    """Status, error type, content type, body; and the headers that every answer carries."""
    assert answer.headers.keys() >= COMMON
    return (
        answer.status,
        answer.headers.get("x-amzn-ErrorType"),
        answer.headers.get("Content-Type"),
        answer.body,
    )


GONE = (410, "GoneException", "application/json", b"")


def test_post_is_answered_empty_and_delivered(core: Core) -> None:
    answer = post(core, opened(core), "ça 🦁".encode(), NOW)
    assert said(answer) == (200, None, "application/json", b"")
    assert answer.headers.keys() == COMMON | {"Content-Type", "X-Amzn-Trace-Id"}
    assert answer.deliver == "ça 🦁".encode()


def test_invalid_utf8_is_replaced(core: Core) -> None:
    assert post(core, opened(core), b"a\xffb", NOW).deliver == "a�b".encode()


@pytest.mark.parametrize("connection_id", ["WDGT8fY4joECJrQ=test", "x", 'a"b'])
def test_a_malformed_id_is_a_bad_request(core: Core, connection_id: str) -> None:
    body = b'{"message":"Invalid connectionId: ' + connection_id.replace('"', '\\"').encode() + b'"}'
    refused = (400, "BadRequestException", "application/json", body)
    for answer in (
        post(core, connection_id, b"x", NOW),
        get(core, connection_id, NOW),
        delete(core, connection_id, NOW),
    ):
        assert said(answer) == refused
        assert "X-Amzn-Trace-Id" not in answer.headers


def test_an_unknown_connection_is_gone(core: Core) -> None:
    for answer in (post(core, UNKNOWN, b"x", NOW), get(core, UNKNOWN, NOW), delete(core, UNKNOWN, NOW)):
        assert said(answer) == GONE


def test_a_connection_in_connect_is_gone_until_it_opens(core: Core) -> None:
    connection_id = connect(core)
    assert said(post(core, connection_id, b"x", NOW)) == GONE
    assert said(get(core, connection_id, NOW)) == GONE
    core.accept(connection_id, NOW)
    assert post(core, connection_id, b"x", NOW).status == 200


def test_the_largest_message_passes_and_one_byte_more_does_not(core: Core) -> None:
    connection_id = opened(core)
    assert post(core, connection_id, b"x" * 131_072, NOW).status == 200
    refused = post(core, connection_id, b"x" * 131_073, NOW)
    assert said(refused)[:2] == (413, "PayloadTooLargeException")
    assert refused.deliver is None


def test_a_full_client_buffer_limits(core: Core) -> None:
    connection_id = opened(core)
    filled = 0
    while post(core, connection_id, b"x" * 131_072, NOW).status == 200:
        filled += 131_072
    assert filled == LIMITS.client_buffer_bytes
    refused = post(core, connection_id, b"x", NOW)
    assert said(refused) == (429, "LimitExceededException", "application/json", b"")
    core.sent(connection_id, 131_072)
    assert post(core, connection_id, b"x", NOW).status == 200


def test_get_is_printed_as_recorded(core: Core) -> None:
    connection_id = opened(core)
    core.message(connection_id, "hello", NOW + 0.246)
    assert said(get(core, connection_id, NOW + 1)) == (
        200,
        None,
        "application/json",
        b'{\n  "identity" : {\n    "sourceIp" : "1.2.3.4",\n'
        b'    "userAgent" : "Mozilla/5.0 (\xc3\xa9)"\n  },\n'
        b'  "connectedAt" : "2020-11-15T12:23:14.726Z",\n  "lastActiveAt" : "2020-11-15T12:23:14.972Z"\n}',
    )


def test_get_names_no_user_agent_where_none_was_sent(core: Core) -> None:
    connection_id = core.connect(Upgrade([], "", "1.2.3.4"), NOW).connection_id
    core.accept(connection_id, NOW)
    assert b"userAgent" not in get(core, connection_id, NOW).body


def test_delete_has_no_content_and_makes_it_gone(core: Core) -> None:
    connection_id = opened(core)
    answer = delete(core, connection_id, NOW)
    assert said(answer) == (204, None, None, b"")
    assert answer.closes
    assert said(post(core, connection_id, b"late", NOW)) == GONE
    assert said(delete(core, connection_id, NOW)) == GONE
