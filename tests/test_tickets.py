"""The ticket office: who gets a ticket, who is told what, and how often one may ask."""

import base64
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from local.options import REPOSITORY
from prologue.tickets.requests import viewer_of
from prologue.tickets.secret import SecretAway, read_secret
from prologue.tickets.settings import TicketSettings, limits
from prologue.tickets.ticket import BadTicket, seal, unseal
from session.store import StoreBusy
from tests.ticketing import (
    CODE,
    ELSEWHERE,
    HOST,
    KEY,
    PAGE,
    VIEWER,
    House,
    request,
    secret,
    settings,
    ticket,
    upgrade,
)


@pytest.fixture
def house() -> House:
    return House()


# ---- the ticket itself ----------------------------------------------------------------------------------


def test_a_ticket_says_what_it_was_given_for(house: House) -> None:
    sealed = house.ticket()
    found = unseal(sealed, secret(), house.clock.now)
    assert found.expires == house.clock.now + 60
    assert (found.origin, found.subject, found.mode) == (PAGE, None, "access-code")
    assert VIEWER not in base64.urlsafe_b64decode(sealed.partition(".")[0] + "==").decode()


def test_the_longest_ticket_is_under_a_kilobyte_and_fits_a_url() -> None:
    longest = ticket(origin="https://" + "a" * 200, subject="~" * 255, mode="access-code")
    sealed = seal(longest, secret())
    assert len(sealed) < limits().ticket_bytes == 1024
    assert set(sealed) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")
    assert unseal(sealed, secret(), 1_000_000) == longest


def test_clocks_may_differ_by_a_little(house: House) -> None:
    sealed = house.ticket()
    gone = house.clock.now + 60
    for now in (gone - 120, gone, gone + 4.9):
        assert unseal(sealed, secret(), now)
    with pytest.raises(BadTicket, match="expired"):
        unseal(sealed, secret(), gone + 5)


def test_signatures_for_one_purpose_are_worth_nothing_for_another() -> None:
    one = secret()
    assert len({one.sign(purpose, "x") for purpose in ("ticket", "address", "access code")}) == 3


# ---- access codes ---------------------------------------------------------------------------------------


def test_the_code_is_exchanged_for_a_ticket(house: House) -> None:
    status, told, headers = house.ask({"code": CODE})
    assert (status, sorted(told)) == (200, ["expires_in", "ticket"])
    assert headers["cache-control"] == "no-store"
    assert headers["access-control-allow-origin"] == PAGE
    assert house.ask({"code": f" {CODE}\n"})[0] == 200  # as it is pasted


@pytest.mark.parametrize(
    "shown",
    [{"code": "open barley"}, {"code": CODE[:-1]}, {"code": CODE.upper()}, {"code": ""}, {}, {"token": CODE}],
)
def test_a_wrong_code_is_told_so_and_not_repeated(house: House, shown: dict[str, str]) -> None:
    status, told, _ = house.ask(shown)
    assert (status, told["error"]) == (401, "wrong_code")
    assert told["hint"]
    assert "barley" not in json.dumps(told)
    assert CODE not in json.dumps(told)


def test_a_code_follows_from_the_key_where_none_was_chosen(capsys: pytest.CaptureFixture[str]) -> None:
    made = secret(code=None).access_code
    assert len(made) == 19
    assert made == secret(code=None).access_code != secret(key="another" * 10, code=None).access_code
    house = House(secret=secret(code=None))
    assert house.ask({"code": made})[0] == 200
    assert house.ask({"code": ""})[0] == 401


# ---- throttling -----------------------------------------------------------------------------------------


def test_one_address_may_ask_so_often_a_minute(house: House) -> None:
    statuses = [house.ask({"code": CODE})[0] for _ in range(limits().requests_per_minute + 1)]
    assert statuses == [200] * limits().requests_per_minute + [429]
    status, told, headers = house.ask({"code": CODE})
    assert (status, told["error"], headers["content-type"]) == (429, "too_many", "application/json")
    assert 0 < int(headers["retry-after"]) <= 60
    assert house.ask({"code": CODE}, viewer="198.51.100.11")[0] == 200
    house.clock.now += int(headers["retry-after"])
    assert house.ask({"code": CODE})[0] == 200


def test_after_some_failures_even_the_right_code_is_not_looked_at(house: House) -> None:
    statuses = [house.ask({"code": "guess"})[0] for _ in range(limits().failures)]
    assert statuses == [401] * limits().failures
    status, _, headers = house.ask({"code": CODE})
    assert status == 429
    house.clock.now += 61  # another minute, the same ten
    assert house.ask({"code": CODE})[0] == 429
    assert house.ask({"code": CODE}, viewer="198.51.100.11")[0] == 200
    house.clock.now += int(headers["retry-after"])
    assert house.ask({"code": CODE})[0] == 200


def test_an_open_house_has_the_same_limit() -> None:
    house = House(settings("open"))
    statuses = [house.ask()[0] for _ in range(limits().requests_per_minute + 1)]
    assert statuses == [200] * limits().requests_per_minute + [429]


@pytest.mark.parametrize(
    ("header", "viewer"),
    [
        ("198.51.100.10", "198.51.100.10"),
        ("2001:db8:1:2:3:4:5:6", "2001:0db8:0001:0002::/64"),
        ("2001:db8:1:2::9", "2001:0db8:0001:0002::/64"),
        ("::ffff:198.51.100.10", "198.51.100.10"),
        ("not an address", "unknown"),
        (None, "130.176.1.1"),
    ],
)
def test_a_viewer_is_an_address_or_the_network_of_one_customer(header: str | None, viewer: str) -> None:
    event = request(viewer=None)
    if header:
        event["headers"]["x-viewer-address"] = header
    assert viewer_of(event) == viewer


# ---- pages ----------------------------------------------------------------------------------------------


def test_only_our_own_pages_and_the_allowed_ones_may_ask(house: House) -> None:
    for page in (PAGE, ELSEWHERE):
        status, _, headers = house.ask({"code": CODE}, origin=page)
        assert (status, headers["access-control-allow-origin"]) == (200, page)
    for page in (
        "https://evil.example",
        f"http://{HOST}",
        f"{PAGE}.evil.example",
        "null",
        "",
        "https://None",
    ):
        status, told, headers = house.ask({"code": CODE}, origin=page)
        assert (status, told["error"]) == (403, "wrong_origin")
        assert "access-control-allow-origin" not in headers


def test_without_a_known_host_no_page_is_our_own(house: House) -> None:
    event = request({"code": CODE}, origin="https://None")
    del event["headers"]["x-viewer-host"]
    assert house.office.answer(event)["statusCode"] == 403


def test_a_preflight_is_answered_for_allowed_pages_only(house: House) -> None:
    status, _, headers = house.ask(method="OPTIONS", origin=ELSEWHERE)
    assert (status, headers["access-control-allow-origin"]) == (204, ELSEWHERE)
    assert headers["access-control-allow-methods"] == "POST"
    assert "x-amz-content-sha256" in headers["access-control-allow-headers"]
    for page in ("https://evil.example", None):
        status, _, headers = house.ask(method="OPTIONS", origin=page)
        assert status == 403
        assert "access-control-allow-origin" not in headers


# ---- what isn't a request -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "more", "status"),
    [
        ("not json", {}, 400),
        ("[]", {}, 400),
        ({"code": 7}, {}, 400),
        ({"code": CODE, "else": 1}, {}, 400),
        ("\ud800", {}, 400),
        ("%%%", {"isBase64Encoded": True}, 400),
        ({"code": "x" * 9000}, {}, 413),
        ("x" * 20_000, {"isBase64Encoded": True}, 413),
        (base64.b64encode(b"x" * 8193).decode(), {"isBase64Encoded": True}, 413),
        (base64.b64encode(json.dumps({"code": CODE}).encode()).decode(), {"isBase64Encoded": True}, 200),
        ({"code": CODE}, {"method": "GET"}, 405),
    ],
)
def test_what_is_no_request_is_refused(house: House, body: Any, more: dict[str, Any], status: int) -> None:
    assert house.ask(body, **more)[0] == status


@pytest.mark.parametrize("mode", ["none", "iam"])
def test_other_modes_give_no_tickets(mode: str) -> None:
    house = House(settings(mode))
    status, told, _ = house.ask({"code": CODE})
    assert (status, told["error"]) == (404, "no_tickets")


def test_a_busy_table_is_said(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(*_: object, **__: object) -> int:
        raise StoreBusy("the table is busy")

    monkeypatch.setattr(house.store, "count", busy)
    status, told, headers = house.ask({"code": CODE})
    assert (status, told["error"], headers["retry-after"]) == (503, "busy", "5")
    assert headers["access-control-allow-origin"] == PAGE


# ---- settings and secret --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "named"),
    [
        ({"AUTH_MODE": "password"}, "auth_mode"),
        ({"AUTH_MODE": "open"}, "SECRET_ARN"),
        ({"AUTH_MODE": "jwt", "SECRET_ARN": "arn"}, "JWT_ISSUER"),
        (
            {
                "AUTH_MODE": "jwt",
                "SECRET_ARN": "arn",
                "JWT_ISSUER": "http://issuer.example",
                "JWT_AUDIENCE": "a",
            },
            "https",
        ),
        ({"ALLOWED_ORIGINS": "https://a.example/"}, "ALLOWED_ORIGINS"),
        ({"ALLOWED_ORIGINS": "*"}, "ALLOWED_ORIGINS"),
    ],
)
def test_a_wrong_setting_is_named_and_no_value_is_shown(told: dict[str, str], named: str) -> None:
    with pytest.raises(ValidationError, match=named) as caught:
        TicketSettings.from_environment(told | {"TICKET_SECRET": ""})
    assert "input_value" not in str(caught.value)


@pytest.mark.parametrize("held", ["", "{}", '{"key": "short secret"}', "not json but secret", '{"key": 7}'])
def test_an_unusable_secret_is_said_and_not_shown(held: str) -> None:
    with pytest.raises(SecretAway, match="at least 32 characters") as caught:
        read_secret(TicketSettings.model_validate({"ticket_secret": held}))
    assert "secret" not in str(caught.value).replace("TICKET_SECRET", "")


@pytest.fixture
def secret_arn(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    import boto3
    from moto import mock_aws

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        made = boto3.client("secretsmanager").create_secret(
            Name="curtain", SecretString=json.dumps({"key": KEY, "code": CODE})
        )
        yield made["ARN"]


def test_the_secret_is_read_from_secrets_manager_and_told_to_nobody(
    secret_arn: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    assert read_secret(settings(secret_arn=secret_arn)) == secret()
    with pytest.raises(SecretAway, match="can't be read"):
        read_secret(settings(secret_arn=secret_arn[:-1]))
    assert KEY not in caplog.text
    assert CODE not in caplog.text


def test_only_tokens_need_cryptography() -> None:
    """A listener of the default mode waits for no library of it."""
    child = (
        "import sys; from prologue.tickets.environment import door, office; office(); door(); "
        "print(*sorted({'jwt', 'cryptography', 'numpy', 'onnxruntime'} & {*sys.modules}))"
    )
    told = {"TICKET_SECRET": json.dumps({"key": KEY}), "TABLE_NAME": "t", "AWS_DEFAULT_REGION": "us-east-1"}
    for mode, loaded in (("access-code", ""), ("jwt", "cryptography jwt")):
        more = {"AUTH_MODE": mode, "JWT_ISSUER": "https://issuer.example", "JWT_AUDIENCE": "a"}
        done = subprocess.run(
            [sys.executable, "-c", child],
            env=os.environ | told | more,
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
        )
        assert (done.returncode, done.stdout) == (0, f"{loaded}\n"), done.stderr


# ---- logs -----------------------------------------------------------------------------------------------


def test_no_log_has_a_code_a_key_or_a_ticket(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    house = House()
    shown = house.ticket()
    other = seal(ticket(), secret(key="forged" * 10))
    for code in (CODE, "open barley", "", "x" * 9000):
        house.ask({"code": code})
    house.ask("not json: open barley")
    house.ask({"token": "open barley"}, origin="https://evil.example")
    for text in (shown, shown, other, shown[:-3], f"{shown}A", "open barley", "x" * 2000, "", None):
        house.door.policy(upgrade(text))
    house.clock.now += 100
    house.door.policy(upgrade(house.ticket(), origin="https://evil.example"))
    house.door.policy(upgrade(shown))
    assert len(caplog.records) > 10
    logged = caplog.text
    assert "wrong_code" in logged
    assert "used before" in logged
    assert "expired" in logged
    payload, _, signature = shown.partition(".")
    address = secret().address_hash(VIEWER)
    for hidden in (CODE, KEY, "barley", payload, signature, other, VIEWER, address, "0" * 31):
        assert hidden not in logged
