"""An OpenID Connect issuer on loopback: keys, configuration, and tokens of every kind of wrongness."""

import json
import time
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.loopback import Loopback, Request

AUDIENCE = "curtain"


class Issuer(Loopback):
    """`asked`: the paths that were asked for. `away`: it answers 500. `keys`: told for its keys."""

    def __init__(self) -> None:
        super().__init__()
        self.url = f"{self.origin}/pool"
        self.asked: list[str] = []
        self.away = False
        self.claims_to_be = ""
        self.keys = ""
        self._keys: dict[str, Any] = {}
        self._published: list[dict[str, Any]] = []
        self.add("first", rsa.generate_private_key(65537, 2048))

    def answer(self, request: Request) -> tuple[int, str]:
        self.asked.append(request.path)
        told = self._documents().get(request.path, "")
        return 500 if self.away else 200 if told else 404, told

    def add(self, kid: str, key: Any, *, published: bool = True) -> None:
        algorithm = "ES256" if isinstance(key, ec.EllipticCurvePrivateKey) else "RS256"
        self._keys[kid] = (key, algorithm)
        if published:
            implementation = jwt.get_algorithm_by_name(algorithm)
            public = json.loads(implementation.to_jwk(key.public_key()))
            self._published.append(public | {"kid": kid, "use": "sig", "alg": algorithm})

    def publish(self, jwk: dict[str, Any]) -> None:
        self._published.append(jwk)

    @property
    def public_jwk(self) -> dict[str, Any]:
        return self._published[0]

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Good ones, with changes; None leaves a claim out."""
        now = int(time.time())
        told = {"iss": self.url, "aud": AUDIENCE, "sub": "ada", "iat": now, "exp": now + 600} | changes
        return {name: value for name, value in told.items() if value is not None}

    def token(self, kid: str = "first", **changes: Any) -> str:
        key, algorithm = self._keys[kid]
        return jwt.encode(self.claims(**changes), key, algorithm, headers={"kid": kid})

    def _documents(self) -> dict[str, str]:
        configuration = {"issuer": self.claims_to_be or self.url, "jwks_uri": f"{self.url}/keys"}
        return {
            "/pool/.well-known/openid-configuration": json.dumps(configuration),
            "/pool/keys": self.keys or json.dumps({"keys": self._published}),
        }
