"""JSON Web Tokens of one OpenID Connect issuer: who is it that shows one?"""

import json
import re
import urllib.request
from collections.abc import Sequence
from functools import cached_property
from http.client import HTTPException
from urllib.error import URLError

import jwt

from prologue.tickets.refusals import BadToken, IssuerAway
from prologue.tickets.settings import limits, trustworthy
from prologue.tickets.ticket import SUBJECT

# Signatures only: with `none` and the symmetric ones (HS...) anybody could make a token.
ALGORITHMS = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA"),
)
_CONFIGURATION_BYTES = 64 * 1024


class TokenReader:
    """Args:
    issuer: as it stands in tokens (`iss`).
    audience: whom a token has to be for (`aud`), any of them.
    jwks_url: where the keys are; by default the issuer's configuration says it.
    """

    def __init__(self, issuer: str, audience: Sequence[str], jwks_url: str = "") -> None:
        self._issuer = issuer
        self._audience = list(audience)
        self._jwks_url = jwks_url

    def subject(self, token: str) -> str:
        """Whom the token speaks for. Raises BadToken, IssuerAway."""
        key = self._key(token)
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=ALGORITHMS,
                audience=self._audience,
                issuer=self._issuer,
                leeway=limits().issuer_leeway_s,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except jwt.ExpiredSignatureError:
            raise BadToken("It has expired.") from None
        except jwt.InvalidAudienceError:
            raise BadToken("It was made for another place.") from None
        except jwt.InvalidIssuerError:
            raise BadToken("It comes from another issuer.") from None
        except jwt.PyJWTError:
            raise BadToken("It does not hold.") from None
        subject: str = claims["sub"]
        if not re.fullmatch(SUBJECT, subject):
            raise BadToken("Its subject is too long, or has unusual characters.")
        return subject

    def _key(self, token: str) -> jwt.PyJWK:
        """The key that the token says it is signed with. Nothing is fetched for what can't be a token."""
        try:
            header = jwt.get_unverified_header(token)
        except jwt.PyJWTError:
            raise BadToken("It is no JSON Web Token.") from None
        if header.get("alg") not in ALGORITHMS or not isinstance(header.get("kid"), str):
            raise BadToken("It is not signed as it has to be.")
        try:
            return self._keys.get_signing_key(header["kid"])
        except (jwt.PyJWKClientConnectionError, jwt.PyJWKSetError, ValueError) as error:  # or no JSON at all
            raise IssuerAway(f"the keys of {self._issuer} can't be had: {error}") from error
        except jwt.PyJWKClientError:
            raise BadToken("It is signed with a key that its issuer does not know.") from None

    @cached_property
    def _keys(self) -> jwt.PyJWKClient:
        return jwt.PyJWKClient(
            self._jwks_url or self._discovered(),
            lifespan=limits().issuer_cache_s,
            timeout=limits().issuer_timeout_s,
            cooldown_duration=limits().issuer_cooldown_s,
        )

    def _discovered(self) -> str:
        """Where the keys are, as the issuer's configuration has it. Raises IssuerAway."""
        url = self._issuer.rstrip("/") + "/.well-known/openid-configuration"
        try:
            with urllib.request.urlopen(url, timeout=limits().issuer_timeout_s) as answer:
                told = json.loads(answer.read(_CONFIGURATION_BYTES))
            issuer, where = str(told["issuer"]), str(told["jwks_uri"])
        except (URLError, OSError, HTTPException, ValueError, KeyError, TypeError) as error:
            raise IssuerAway(f"{url} does not tell where the issuer's keys are: {error}") from error
        if issuer != self._issuer or not trustworthy(where):
            raise IssuerAway(f"{url} is the configuration of another issuer, or its keys are not on https")
        return where
