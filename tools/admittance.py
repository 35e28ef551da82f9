"""Who is not let into a deployed house: each refusal, tried by a real client. Part of `make smoke`."""

import asyncio
import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

import aiohttp
import websockets

from local.tickets import Admission, NotAdmitted
from prologue.tickets.settings import limits

FORGED = "e30.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
OVERSIZED = "A" * 3000  # API Gateway takes addresses of 4,096 characters
ELSEWHERE = "https://elsewhere.example"
OUTLIVED_S = limits().life_s + limits().leeway_s + 2


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
        statuses = {"no ticket": await self._knock(self.url)}
        if self.by_ticket:
            statuses |= {
                "forged ticket": await self._knock(f"{self.url}?t={FORGED}"),
                "oversized ticket": await self._knock(f"{self.url}?t={OVERSIZED}"),
                "used ticket": await self._used(),
            }
        if self.admission.code:
            statuses["wrong code"] = await self._wrong_code()
        if self.by_ticket and self.origin:
            statuses |= await self._origins(self.origin)
        for what, status in statuses.items():
            if status not in (400, 401, 403, 414):
                raise Unproven(f"{what}: should have been refused, but the answer's status was {status}")
        return statuses

    async def outlived(self, ticket_url: str, made_at: float) -> int:
        """Waits until an unused ticket is too old. `made_at` is on the monotonic clock."""
        await asyncio.sleep(max(0.0, made_at + OUTLIVED_S - time.monotonic()))
        status = await self._knock(ticket_url)
        if status != 403:
            raise Unproven(f"a ticket is taken {OUTLIVED_S} s after it was given (status {status})")
        return status

    async def _used(self) -> int:
        address = await self.admission.address(self.url)
        if (first := await self._knock(address)) != 101:
            raise Unproven(f"a fresh ticket was refused with status {first}")
        return await self._knock(address)

    async def _wrong_code(self) -> int:
        try:
            await replace(self.admission, code="not the code").address(self.url)
        except NotAdmitted:
            return 401
        return 200

    async def _origins(self, own: str) -> dict[str, int]:
        """A ticket that a page asked for is good on that page only; other pages get none."""
        bound = f"{self.url}?t={await self._ticket(own)}"
        away = await self._knock(bound, origin=ELSEWHERE)
        at_home = f"{self.url}?t={await self._ticket(own)}"
        if (status := await self._knock(at_home, origin=own)) != 101:
            raise Unproven(f"the page's own ticket was refused on the page, with status {status}")
        statuses = {"ticket on another page": away}
        try:
            await self._ticket(ELSEWHERE)
        except Unproven:
            return statuses | {"another page asks for a ticket": 403}
        return statuses | {"another page asks for a ticket": 200}

    async def _ticket(self, origin: str) -> str:
        """As a page asks. Raises Unproven where none is given."""
        shown = {"code": self.admission.code, "token": self.admission.token}
        body = json.dumps({name: value for name, value in shown.items() if value}).encode()
        headers = {
            "content-type": "application/json",
            "origin": origin,
            "x-amz-content-sha256": hashlib.sha256(body).hexdigest(),
        }
        assert self.admission.ticket_url is not None
        async with (
            aiohttp.ClientSession() as session,
            session.post(self.admission.ticket_url, data=body, headers=headers) as answer,
        ):
            if answer.status != 200:
                raise Unproven(f"{origin} gets no ticket (status {answer.status})")
            return str((await answer.json())["ticket"])

    async def _knock(self, address: str, origin: str | None = None) -> int:
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
