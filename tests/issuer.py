"""An OpenID Connect issuer on loopback: keys, configuration, and tokens of every kind of wrongness."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

AUDIENCE = "curtain"


class Issuer:
    """`asked`: the paths that were asked for. `away`: it answers 500. `keys`: told for its keys."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.away = False
        self.claims_to_be = ""
        self.keys = ""
        self._keys: dict[str, Any] = {}
        self._published: list[dict[str, Any]] = []
        self.add("first", rsa.generate_private_key(65537, 2048))
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                told = outer._documents().get(self.path, "")
                self.send_response(500 if outer.away else 200 if told else 404)
                self.end_headers()
                self.wfile.write(told.encode())

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self.url = f"http://127.0.0.1:{self._server.server_port}/pool"

    def __enter__(self) -> "Issuer":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

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
