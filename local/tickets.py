"""How the terminal gets in where not everybody does: a fresh ticket or a signature for each connection."""

import asyncio
import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit, urlunsplit

import aiohttp

_PATIENCE = aiohttp.ClientTimeout(total=15)
_SIGNED_S = 60  # a signature is for the connection that is opened at once


class NotAdmitted(Exception):
    """The house gives no ticket, or something for one is missing. Says why, and never repeats a credential.

    `again`: it is worth another try, a little later.
    """

    def __init__(self, message: str, *, again: bool = False) -> None:
        self.again = again
        super().__init__(message)


@dataclass(frozen=True, kw_only=True)
class Admission:
    """What one has to come in with.

    code, token: exchanged for tickets at `ticket_url`, which gives them for nothing in an open house.
    iam: signs with the AWS credentials that boto3 finds.
    """

    code: str | None = None
    token: str | None = None
    ticket_url: str | None = None
    iam: bool = False

    async def address(self, url: str) -> str:
        """Where to connect to. Raises NotAdmitted."""
        if self.iam:
            return await asyncio.to_thread(signed, url)
        if self.ticket_url is None:
            if self.code or self.token:
                raise NotAdmitted("say where tickets are given (--ticket-url), or name the page's address")
            return url
        return f"{url}?t={await self._ticket(self.ticket_url)}"

    async def _ticket(self, ticket_url: str) -> str:
        shown = {"code": self.code, "token": self.token}
        body = json.dumps({name: value for name, value in shown.items() if value}).encode()
        headers = {
            "content-type": "application/json",
            "x-amz-content-sha256": hashlib.sha256(body).hexdigest(),  # CloudFront signs with it
        }
        status, told = await _asked("POST", ticket_url, data=body, headers=headers)
        if isinstance(told.get("ticket"), str):
            return str(told["ticket"])
        passing = status == 429 or status >= 500
        words = " ".join(str(told[name]) for name in ("message", "hint") if name in told)
        raise NotAdmitted(words or f"{ticket_url} gives no tickets (status {status})", again=passing)


async def find_house(url: str, admission: Admission) -> tuple[str, Admission]:
    """The house's WebSocket address and how to get in, as the page at an http(s) address is told; the address
    of a WebSocket is taken as it is. Raises NotAdmitted, OSError."""
    if not url.startswith(("http://", "https://")):
        return url, admission
    config_url = urljoin(url if url.endswith("/") else f"{url}/", "config.json")
    status, config = await _asked("GET", config_url)
    if status != 200 or not isinstance(config.get("websocket"), str):
        raise NotAdmitted(
            f"there is no page of Curtain at {url}: {config_url} says nothing (status {status})"
        )
    auth = config.get("auth", "none")
    if auth == "access-code" and not admission.code:
        raise NotAdmitted("this house asks for its access code: set CURTAIN_CODE in the environment")
    if auth == "jwt" and not admission.token:
        raise NotAdmitted("this house asks for a token: set CURTAIN_TOKEN in the environment")
    ticket_url = admission.ticket_url
    if auth in ("access-code", "jwt", "open"):
        ticket_url = ticket_url or urljoin(config_url, config.get("ticket", "ticket"))
    found = Admission(
        code=admission.code if auth == "access-code" else None,
        token=admission.token if auth == "jwt" else None,
        ticket_url=ticket_url,
        iam=admission.iam or auth == "iam",
    )
    return config["websocket"], found


def signed(url: str, for_s: int = _SIGNED_S) -> str:
    """The address with a signature (SigV4) of the AWS credentials found here, good for `for_s` seconds.

    Raises NotAdmitted.
    """
    from botocore.auth import SigV4QueryAuth
    from botocore.awsrequest import AWSRequest
    from botocore.session import Session

    session = Session()
    credentials = session.get_credentials()
    parts = urlsplit(url)
    of_host = re.search(r"\.execute-api\.([a-z0-9-]+)\.", parts.netloc)
    region = of_host[1] if of_host else session.get_config_variable("region")
    if credentials is None or region is None:
        raise NotAdmitted(
            "this house asks for signed requests: set AWS credentials and a region (aws configure)"
        )
    scheme = {"wss": "https", "ws": "http"}[parts.scheme]
    request = AWSRequest("GET", urlunsplit((scheme, *parts[1:])))
    frozen = credentials.get_frozen_credentials()
    SigV4QueryAuth(frozen, "execute-api", region, expires=for_s).add_auth(request)
    return urlunsplit((parts.scheme, *urlsplit(str(request.url))[1:]))


async def _asked(method: str, url: str, **request: Any) -> tuple[int, dict[str, Any]]:
    """Status and JSON of an answer; other texts are no words of ours. Raises OSError."""
    try:
        async with (
            aiohttp.ClientSession(timeout=_PATIENCE) as session,
            session.request(method, url, allow_redirects=False, **request) as answer,
        ):
            status, body = answer.status, await answer.read()
    except aiohttp.ClientError as error:
        raise ConnectionError(f"no answer from {url}: {error}") from error
    try:
        told = json.loads(body)
    except ValueError:
        told = None
    return status, told if isinstance(told, dict) else {}
