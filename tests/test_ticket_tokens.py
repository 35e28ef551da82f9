"""JSON Web Tokens for tickets, with an issuer on loopback: whose are good, and what is never believed."""

import base64
import hmac
import json
import logging
import time
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from prologue.tickets.refusals import IssuerAway
from prologue.tickets.settings import limits
from prologue.tickets.ticket import unseal
from prologue.tickets.tokens import TokenReader
from tests.issuer import AUDIENCE, Issuer
from tests.ticketing import House, secret, settings

CONFIGURATION, KEYS = "/pool/.well-known/openid-configuration", "/pool/keys"


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with Issuer() as issuer:
        yield issuer


def house_of(issuer: Issuer, **more: Any) -> House:
    told = {"jwt_issuer": issuer.url, "jwt_audience": f"other, {AUDIENCE}"} | more
    made = settings("jwt", **told)
    tokens = TokenReader(made.jwt_issuer, made.jwt_audience, made.jwt_jwks_url)
    return House(made, tokens=tokens)


@pytest.fixture
def house(issuer: Issuer) -> House:
    return house_of(issuer)


def test_a_token_is_exchanged_for_a_ticket_of_its_subject(house: House, issuer: Issuer) -> None:
    status, told, _ = house.ask({"token": issuer.token()})
    assert status == 200
    assert unseal(told["ticket"], secret(), house.clock.now).subject == "ada"
    assert house.lets_in(told["ticket"])
    for aud in (AUDIENCE, ["x", AUDIENCE], "other"):
        assert house.ask({"token": issuer.token(aud=aud)})[0] == 200


def test_keys_are_found_by_the_issuer_s_configuration_and_kept(house: House, issuer: Issuer) -> None:
    for _ in range(3):
        assert house.ask({"token": issuer.token()})[0] == 200
    assert issuer.asked == [CONFIGURATION, KEYS]
    issuer.asked.clear()
    named = house_of(issuer, jwt_jwks_url=f"{issuer.url}/keys")
    assert named.ask({"token": issuer.token()})[0] == 200
    assert issuer.asked == [KEYS]


def test_elliptic_curves_are_taken_too(house: House, issuer: Issuer) -> None:
    issuer.add("curve", ec.generate_private_key(ec.SECP256R1()))
    assert house.ask({"token": issuer.token("curve")})[0] == 200


def refused(house: House, token: str) -> str:
    status, told, _ = house.ask({"token": token})
    assert (status, told["error"]) == (401, "wrong_token")
    assert token[-40:] not in json.dumps(told) or not token
    message: str = told["message"]
    return message


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"exp": 1_000}, "expired"),
        ({"exp": None}, "does not hold"),
        ({"exp": "tomorrow"}, "does not hold"),
        ({"aud": "another"}, "another place"),
        ({"aud": None}, "does not hold"),
        ({"aud": []}, "does not hold"),
        ({"iss": "https://evil.example"}, "another issuer"),
        ({"iss": None}, "does not hold"),
        ({"sub": None}, "does not hold"),
        ({"sub": ""}, "subject"),
        ({"sub": "x" * 256}, "subject"),
        ({"sub": 'a"b'}, "subject"),
        ({"sub": "\u0444"}, "subject"),
        ({"nbf": 9_999_999_999}, "does not hold"),
        ({"iat": 9_999_999_999}, "does not hold"),
    ],
)
def test_claims_have_to_be_right(house: House, issuer: Issuer, changes: dict[str, Any], why: str) -> None:
    assert why in refused(house, issuer.token(**changes))


def test_clocks_may_differ_by_a_little(house: House, issuer: Issuer) -> None:
    now, leeway = int(time.time()), limits().issuer_leeway_s
    assert house.ask({"token": issuer.token(exp=now - leeway // 2)})[0] == 200
    assert house.ask({"token": issuer.token(nbf=now + leeway // 2)})[0] == 200
    assert "expired" in refused(house, issuer.token(exp=now - 2 * leeway))


def by_public_key(algorithm: str, body: str, issuer: Issuer) -> str:
    """The classic forgery: the public key, which everybody has, as the secret of a symmetric signature."""
    head = jwt.utils.base64url_encode(json.dumps({"alg": algorithm, "kid": "first"}).encode()).decode()
    public: Any = jwt.PyJWK(issuer.public_jwk).key
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    signature = hmac.digest(pem, f"{head}.{body}".encode(), "sha256")
    return f"{head}.{body}.{jwt.utils.base64url_encode(signature).decode()}"


def test_nothing_is_believed_that_the_issuer_did_not_sign(house: House, issuer: Issuer) -> None:
    assert house.ask({"token": issuer.token()})[0] == 200
    issuer.add("stranger", rsa.generate_private_key(65537, 2048), published=False)
    good, claims = issuer.token(), issuer.claims()
    head, body, signature = good.split(".")
    other = jwt.utils.base64url_encode(json.dumps(claims | {"sub": "eve"}).encode()).decode()
    impostor = rsa.generate_private_key(65537, 2048)
    forgeries = {
        "none": jwt.encode(claims, "", "none", headers={"kid": "first"}),
        "None": jwt.utils.base64url_encode(b'{"alg":"None","kid":"first"}').decode() + f".{body}.",
        "HS256": by_public_key("HS256", body, issuer),
        "HS256 as RS256": by_public_key("RS256", body, issuer),
        "unknown kid": issuer.token("stranger"),
        "known kid, another key": jwt.encode(claims, impostor, "RS256", headers={"kid": "first"}),
        "no kid": jwt.encode(claims, impostor, "RS256"),
        "its own key": jwt.encode(
            claims, impostor, "RS256", headers={"kid": "first", "jku": "http://evil.example", "jwk": {}}
        ),
        "another algorithm": jwt.encode(claims, impostor, "RS512", headers={"kid": "first"}),
        "changed": f"{head}.{other}.{signature}",
        "cut": good[:-4],
        "unsigned": f"{head}.{body}.",
        "two parts": f"{head}.{body}",
        "no token": "let me in",
        "empty": "",
    }
    house.store.counts.clear()
    for name, token in forgeries.items():
        assert refused(house, token), name
        house.store.counts.clear()  # or the door would shut by itself


def test_a_symmetric_key_is_not_taken_even_from_the_issuer(house: House, issuer: Issuer) -> None:
    known = b"published by mistake, and so known to all"
    key = base64.urlsafe_b64encode(known).decode().rstrip("=")
    issuer.publish({"kty": "oct", "k": key, "kid": "oops", "use": "sig", "alg": "HS256"})
    refused(house, jwt.encode(issuer.claims(), known, "HS256", headers={"kid": "oops"}))
    head = jwt.utils.base64url_encode(b'{"alg":"RS256","kid":"oops"}').decode()
    body = jwt.utils.base64url_encode(json.dumps(issuer.claims()).encode()).decode()
    signature = hmac.digest(known, f"{head}.{body}".encode(), "sha256")
    refused(house, f"{head}.{body}.{jwt.utils.base64url_encode(signature).decode()}")


def test_unknown_keys_ask_the_issuer_rarely(house: House, issuer: Issuer) -> None:
    issuer.add("stranger", rsa.generate_private_key(65537, 2048), published=False)
    for _ in range(5):
        refused(house, issuer.token("stranger"))
    assert issuer.asked.count(KEYS) <= 2
    issuer.asked.clear()
    refused(house, "let me in")
    assert issuer.asked == []


def test_guessing_tokens_ends_like_guessing_codes(house: House, issuer: Issuer) -> None:
    statuses = [house.ask({"token": "x"})[0] for _ in range(limits().failures + 1)]
    assert statuses == [401] * limits().failures + [429]
    assert house.ask({"token": issuer.token()})[0] == 429


def test_an_issuer_that_is_away_is_no_fault_of_the_token(house: House, issuer: Issuer) -> None:
    issuer.away = True
    for _ in range(limits().failures + 1):
        status, told, _ = house.ask({"token": issuer.token()})
        assert (status, told["error"]) == (503, "busy")
    issuer.away = False
    assert house.ask({"token": issuer.token()})[0] == 200
    issuer.away = True
    assert house.ask({"token": issuer.token()})[0] == 200  # its keys are known


def test_an_issuer_that_talks_nonsense_is_as_good_as_away(house: House, issuer: Issuer) -> None:
    issuer.keys = "<html>"
    assert house.ask({"token": issuer.token()})[0] == 503
    issuer.keys = json.dumps({"keys": [{"kty": "unheard of"}]})
    assert house.ask({"token": issuer.token()})[0] == 503


def test_another_issuer_s_configuration_is_not_followed(house: House, issuer: Issuer) -> None:
    issuer.claims_to_be = "https://evil.example"
    assert house.ask({"token": issuer.token()})[0] == 503
    nobody = TokenReader("http://127.0.0.1:1/pool", [AUDIENCE])
    with pytest.raises(IssuerAway, match="openid-configuration"):
        nobody.subject(issuer.token())


def test_no_log_has_a_token(house: House, issuer: Issuer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    tokens = [issuer.token(), issuer.token(aud="another"), issuer.token(exp=1), issuer.token()[:-3]]
    for token in (*tokens, "let me in"):
        house.ask({"token": token})
    issuer.away = True
    house_of(issuer).ask({"token": issuer.token()})
    assert "wrong_token" in caplog.text
    assert "no ticket can be given" in caplog.text
    for hidden in ("let me in", "ada", *(part for token in tokens for part in token.split("."))):
        assert hidden not in caplog.text
