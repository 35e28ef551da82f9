"""The door: which tickets let a connection in. Each refusal is one the model never hears of."""

import base64
import json
from typing import Any

import pytest

from prologue import handler
from prologue.tickets import environment
from prologue.tickets.ticket import seal
from tests.ticketing import ARN, ELSEWHERE, KEY, PAGE, House, request, secret, settings, ticket, upgrade


@pytest.fixture
def house() -> House:
    return House()


def test_a_ticket_lets_one_connection_in(house: House) -> None:
    shown = house.ticket()
    assert house.lets_in(shown)
    assert not house.lets_in(shown)  # replayed
    house.clock.now += 30
    assert not house.lets_in(shown)
    assert house.lets_in(house.ticket())  # every connection takes its own


def test_what_is_told_of_a_listener(house: House) -> None:
    policy = house.door.policy(upgrade(house.ticket()))
    address = ticket().address
    assert policy["context"] == {"ticket": "00000000", "address": address}
    assert policy["principalId"] == address
    named = seal(ticket(subject="ada"), secret())
    policy = house.door.policy(upgrade(named))
    assert (policy["context"]["subject"], policy["principalId"]) == ("ada", "ada")
    assert all(isinstance(value, str) for value in policy["context"].values())
    refused = house.door.policy(upgrade("x"))
    assert sorted(refused) == ["policyDocument", "principalId"]


def test_an_expired_ticket_is_refused(house: House) -> None:
    shown = house.ticket()
    house.clock.now += 65
    assert not house.lets_in(shown)


def test_a_ticket_of_a_clock_that_is_a_little_behind_is_good(house: House) -> None:
    shown = house.ticket()
    house.clock.now += 64
    assert house.lets_in(shown)


def test_a_page_s_ticket_is_for_that_page_only(house: House) -> None:
    origins: list[str | list[str] | None] = [
        ELSEWHERE,  # though it may have tickets of its own
        "https://evil.example",
        PAGE.upper(),
        f"{PAGE}/",
        "null",
        None,
        [PAGE, PAGE],
        [PAGE, "https://evil.example"],
    ]
    shown = house.ticket()
    for origin in origins:
        assert not house.lets_in(shown, origin)
    assert house.lets_in(shown)  # refusals don't use it up


def test_a_ticket_of_no_page_is_not_for_pages_except_allowed_ones(house: House) -> None:
    shown = house.ticket(origin=None)
    for origin in (PAGE, "https://evil.example", "null"):
        assert not house.lets_in(shown, origin)
    assert house.lets_in(shown, None)
    assert house.lets_in(house.ticket(origin=None), ELSEWHERE)


def forged() -> dict[str, Any]:
    good = seal(ticket(), secret())
    payload, _, signature = good.partition(".")
    told = json.loads(base64.urlsafe_b64decode(payload + "=="))
    longer = base64.urlsafe_b64encode(json.dumps(told | {"x": 9_999_999_999}).encode()).decode().rstrip("=")
    return {
        "another key": seal(ticket(), secret(key="another-key" * 4)),
        "another payload": f"{longer}.{signature}",
        "no signature": f"{payload}.",
        "no dot": payload,
        "signature only": f".{signature}",
        "cut": good[:-1],
        "longer": f"{good}A",
        "padded": f"{good}=",
        "last bits changed": good[:-1] + chr(ord(good[-1]) ^ 1),  # perhaps the same bytes
        "another alphabet": good.replace(".", "+"),
        "two dots": f"{payload}.{signature}.",
        "not base64": f"%%%.{signature}",
        "not ascii": "🎟.🎟",
        "spaces": f" {good}",
        "empty": "",
        "oversized": "A" * 4000,
        "signed for another purpose": payload
        + "."
        + base64.urlsafe_b64encode(secret().sign("address", payload)).decode().rstrip("="),
        "missing": None,
        "twice": [good, good],
    }


@pytest.mark.parametrize("how", list(forged()))
def test_forged_malformed_and_missing_tickets_are_refused(house: House, how: str) -> None:
    assert not house.lets_in(forged()[how])
    assert house.store.tickets == {}  # none of them reached the table
    assert house.lets_in(seal(ticket(), secret()))


@pytest.mark.parametrize("told", [b"[]", b"{}", b'{"id": "x"}', b"\xff", b"not json"])
def test_a_ticket_of_another_version_of_the_house_is_refused(house: House, told: bytes) -> None:
    payload = base64.urlsafe_b64encode(told).decode().rstrip("=")
    signature = base64.urlsafe_b64encode(secret().sign("ticket", payload)).decode().rstrip("=")
    assert not house.lets_in(f"{payload}.{signature}")


def test_a_large_ticket_is_refused_even_if_it_is_signed(house: House) -> None:
    for spaces, good in ((10, True), (600, False)):
        told = ticket(id=f"{spaces:032x}").model_dump_json(by_alias=True) + " " * spaces
        payload = base64.urlsafe_b64encode(told.encode()).decode().rstrip("=")
        signature = base64.urlsafe_b64encode(secret().sign("ticket", payload)).decode().rstrip("=")
        assert house.lets_in(f"{payload}.{signature}") is good


def test_a_ticket_of_another_auth_mode_is_refused(house: House) -> None:
    """Who made the house private does not want yesterday's open tickets, though they live but a minute."""
    assert not house.lets_in(seal(ticket(mode="open"), secret()))


@pytest.mark.parametrize("mode", ["none", "iam"])
def test_without_tickets_the_door_stays_shut(mode: str) -> None:
    assert not House(settings(mode)).lets_in(seal(ticket(), secret()))


# ---- through the handler --------------------------------------------------------------------------------


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The function's environment; nothing in it is kept from one test to the next."""
    for made in (environment.office, environment.door, environment._settings, environment._secret):
        made.cache_clear()
    for name in ("AUTH_MODE", "SECRET_ARN", "TICKET_SECRET", "ALLOWED_ORIGINS"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_the_handler_knows_its_events_apart(told: pytest.MonkeyPatch) -> None:
    told.setenv("AUTH_MODE", "open")
    told.setenv("TICKET_SECRET", json.dumps({"key": KEY}))
    store = House().store
    told.setattr(environment, "_store", lambda: store)
    answer = handler.lambda_handler(request(), None)
    assert answer["statusCode"] == 200
    shown = json.loads(answer["body"])["ticket"]
    effects = []
    for _ in range(2):
        policy = handler.lambda_handler(upgrade(shown), None)
        effects.append(policy["policyDocument"]["Statement"][0]["Effect"])
    assert effects == ["Allow", "Deny"]
    assert ARN in json.dumps(policy)
    assert handler.lambda_handler(connect(None), None) == {"statusCode": 200}
    assert handler.lambda_handler(connect("https://evil.example"), None) == {"statusCode": 200}


def connect(*origins: str | None) -> dict[str, Any]:
    context = {"eventType": "CONNECT", "connectionId": "c="}
    headers = {"Origin": [origin for origin in origins if origin]} if any(origins) else {}
    return {"multiValueHeaders": headers, "requestContext": context}


def test_where_clients_sign_only_allowed_pages_connect(told: pytest.MonkeyPatch) -> None:
    told.setenv("AUTH_MODE", "iam")
    told.setenv("ALLOWED_ORIGINS", f"{ELSEWHERE}, https://other.example")
    for origin in (None, ELSEWHERE, "https://other.example"):
        assert handler.lambda_handler(connect(origin), None) == {"statusCode": 200}
    for origins in ((PAGE,), ("null",), (ELSEWHERE, ELSEWHERE)):
        assert handler.lambda_handler(connect(*origins), None) == {"statusCode": 403}


@pytest.mark.parametrize(
    ("context", "subject"),
    [
        ({"authorizer": {"subject": "ada", "principalId": "ada"}}, "ada"),
        ({"authorizer": {"principalId": "a1", "address": "a1"}}, None),
        ({"identity": {"userArn": "arn:aws:iam::1:user/ada"}}, "arn:aws:iam::1:user/ada"),
        ({"identity": {"sourceIp": "192.0.2.1", "userArn": None}, "authorizer": None}, None),
    ],
)
def test_a_subject_is_whom_the_ticket_names_or_who_signed(
    context: dict[str, Any], subject: str | None
) -> None:
    assert handler._subject(context) == subject
