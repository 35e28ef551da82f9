"""TLS, as AWS's own endpoints end it. MiniStack is asked in plain text, and takes a request for secure where
what stands in front of it says so; our buckets refuse all others."""

import aiohttp
from aiohttp import web

from tests.cloud.emulator import EmulatedAws

OF_THE_BODY = ("content-encoding", "transfer-encoding")  # which is passed on as it was decoded


class Secure:
    def __init__(self, aws: EmulatedAws) -> None:
        self._aws = aws

    async def answer(self, request: web.Request) -> web.Response:
        """What MiniStack says to it; the Host stays as it was signed."""
        async with (
            aiohttp.ClientSession() as session,
            session.request(
                request.method,
                f"{self._aws.endpoint}{request.path_qs}",
                headers={**request.headers, "x-forwarded-proto": "https"},
                data=await request.read(),
            ) as response,
        ):
            headers = {
                name: value for name, value in response.headers.items() if name.lower() not in OF_THE_BODY
            }
            return web.Response(status=response.status, headers=headers, body=await response.read())
