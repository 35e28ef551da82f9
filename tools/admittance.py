"""Who is not let into a deployed house: each refusal, tried by a real client. Part of `make smoke`."""

import asyncio
import base64
import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import aiohttp
import websockets

from local.tickets import Admission, signed
from prologue.tickets.settings import limits

FORGED = "e30.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
OVERSIZED = "A" * 3000  # API Gateway takes addresses of 4,096 characters
ELSEWHERE = "https://elsewhere.example"
SIGNED_S = 1  # as short as a signature can be good for
CLOCKS_S = 3  # until everybody's clock says that a time is over
REFUSALS = (400, 401, 403, 413, 414)


class Unproven(Exception):
    """Something is not as it should be; the message says what, and what came instead."""


@dataclass(frozen=True)
class Door:
    """`origin`: how the page's own requests name their page, None if there is none."""

    url: str
    admission: Admission
    origin: str | None = None

    @property
    def by_ticket(self) -> bool:
        return self.admission.ticket_url is not None

    async def refusals(self) -> Mapping[str, int]:
        """The status of each. Raises Unproven if anybody gets in who shouldn't, or not who should."""
        statuses = {"nothing shown": await self.knock(self.url)}
        if self.admission.iam:
            statuses |= await self._signatures()
        if self.by_ticket:
            statuses |= await self._tickets() | await self._credentials()
        if self.by_ticket and self.origin:
            statuses |= await self._origins(self.origin)
        for what, status in statuses.items():
            if status not in REFUSALS:
                raise Unproven(f"{what}: should have been refused, but the answer's status was {status}")
        return statuses

    async def spare(self) -> tuple[str, float]:
        """An address that lets in now, and when it won't any more, on the monotonic clock."""
        if self.admission.iam:
            address, good_s = await asyncio.to_thread(signed, self.url, SIGNED_S), SIGNED_S
        else:
            address, good_s = await self.admission.address(self.url), limits().life_s + limits().leeway_s
        return address, time.monotonic() + good_s + CLOCKS_S

    async def outlived(self, address: str, until: float) -> int:
        """Waits until such an address is too old. Raises Unproven."""
        await asyncio.sleep(max(0.0, until - time.monotonic()))
        status = await self.knock(address)
        if status != 403:
            raise Unproven(f"what has expired still lets in (status {status})")
        return status

    async def _tickets(self) -> dict[str, int]:
        address = await self.admission.address(self.url)
        statuses = {
            "forged ticket": await self.knock(f"{self.url}?t={FORGED}"),
            "altered ticket": await self.knock(_put_off(address)),
            "oversized ticket": await self.knock(f"{self.url}?t={OVERSIZED}"),
        }
        if (first := await self.knock(address)) != 101:
            raise Unproven(f"a fresh ticket was refused with status {first}")
        return statuses | {"used ticket": await self.knock(address)}

    async def _credentials(self) -> dict[str, int]:
        """Few, because an address that is often wrong isn't looked at any more."""
        office = replace(self.admission, code="x" * (limits().body_bytes + 1))
        statuses = {"oversized request for a ticket": (await ask(office))[0]}
        if self.admission.code:
            office = replace(self.admission, code="not the code")
            statuses["wrong code"] = (await ask(office))[0]
        if token := self.admission.token:
            header, payload, signature = token.split(".")
            altered = ".".join((header, _with(payload, sub="somebody else"), signature))
            statuses["altered token"] = (await ask(replace(self.admission, token=altered)))[0]
            statuses["no token"] = (await ask(replace(self.admission, token=None)))[0]
        return statuses

    async def _origins(self, own: str) -> dict[str, int]:
        """A ticket that a page asked for is good on that page only; other pages get none."""
        away = await self.knock(f"{self.url}?t={await self._ticket(own)}", origin=ELSEWHERE)
        at_home = f"{self.url}?t={await self._ticket(own)}"
        if (status := await self.knock(at_home, origin=own)) != 101:
            raise Unproven(f"the page's own ticket was refused on the page, with status {status}")
        other, _ = await ask(self.admission, ELSEWHERE)
        return {"ticket on another page": away, "another page asks for a ticket": other}

    async def _signatures(self) -> dict[str, int]:
        address = await asyncio.to_thread(signed, self.url)
        if (status := await self.knock(address)) != 101:
            raise Unproven(
                f"a signed request was refused with status {status}: may these credentials call it?"
            )
        altered = address[:-1] + ("0" if address[-1] != "0" else "1")
        return {
            "altered signature": await self.knock(altered),
            "signed request from another page": await self.knock(address, origin=ELSEWHERE),
        }

    async def _ticket(self, origin: str) -> str:
        """As a page asks. Raises Unproven where none is given."""
        status, told = await ask(self.admission, origin)
        if status != 200:
            raise Unproven(f"{origin} gets no ticket (status {status})")
        return str(told["ticket"])

    async def knock(self, address: str, origin: str | None = None) -> int:
        """The status of the answer to an upgrade; 101: let in, and gone again."""
        try:
            async with websockets.connect(
                address,
                origin=None if origin is None else websockets.Origin(origin),
                ping_interval=None,
                compression=None,
            ):
                return 101
        except websockets.InvalidStatus as refusal:
            return refusal.response.status_code


def _put_off(address: str) -> str:
    """With a ticket that expires in a year, under the signature of the one that it was."""
    url, _, ticket = address.partition("?t=")
    payload, _, signature = ticket.partition(".")
    return f"{url}?t={_with(payload, x=int(time.time()) + 31_536_000)}.{signature}"


def _with(payload: str, **changes: Any) -> str:
    """What a ticket or token says, changed."""
    told = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    changed = json.dumps(told | changes, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(changed).decode().rstrip("=")


async def ask(admission: Admission, origin: str | None = None) -> tuple[int, dict[str, Any]]:
    """Status and body of the ticket office's answer."""
    shown = {"code": admission.code, "token": admission.token}
    body = json.dumps({name: value for name, value in shown.items() if value}).encode()
    headers = {"content-type": "application/json", "x-amz-content-sha256": hashlib.sha256(body).hexdigest()}
    if origin is not None:
        headers["origin"] = origin
    assert admission.ticket_url is not None
    async with (
        aiohttp.ClientSession() as session,
        session.post(admission.ticket_url, data=body, headers=headers) as answer,
    ):
        try:
            told = await answer.json(content_type=None)
        except ValueError:
            told = {}
        return answer.status, told
