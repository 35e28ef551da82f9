"""What stands between Lambda's runtime client and the emulator's runtime API, and passes every call on.

It adds two things that the emulator lacks and Lambda has. *One request id*: the emulator invents an id for
each call, so the caller, the handler's context, the log and the failure record would not agree; here the
emulator's id is swapped for ours. *The outcome*: the emulator answers 200 for a reply and for a raised
exception alike; here it shows which of `/response` and `/error` the runtime called.
"""

import io
from enum import Enum, auto

import aiohttp
from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy

REQUEST_ID = "Lambda-Runtime-Aws-Request-Id"
_HOP_BY_HOP = {"connection", "content-length", "keep-alive", "transfer-encoding", "host"}  # RFC 9110, 7.6.1


class Outcome(Enum):
    NONE = auto()  # the runtime has not finished this invoke
    RESPONSE = auto()
    ERROR = auto()


class RuntimeApi:
    """`address` (host:port) is what the runtime is given as `AWS_LAMBDA_RUNTIME_API`."""

    def __init__(self, emulator_address: str) -> None:
        self._emulator = f"http://{emulator_address}"
        self._request_id = ""
        self._emulator_id = ""
        self.outcome = Outcome.NONE
        self.address = ""

    async def start(self) -> None:
        # The runtime waits for its next event as long as it takes.
        self._client = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None), auto_decompress=False)
        app = web.Application(client_max_size=0)  # the emulator has the limit and its answer
        app.router.add_route("*", "/{path:.*}", self._forward)
        # A runtime that dies must not leave its wait behind, or the emulator gives that the next event.
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0]
        self.address = f"{host}:{port}"

    async def stop(self) -> None:
        await self._runner.cleanup()
        await self._client.close()

    def begin(self, request_id: str) -> None:
        """The next event that the runtime takes is this one."""
        self._request_id = request_id
        self.outcome = Outcome.NONE

    async def _forward(self, request: web.Request) -> web.Response:
        path = request.raw_path
        ours = f"/invocation/{self._request_id}/"
        if ours in path:
            path = path.replace(ours, f"/invocation/{self._emulator_id}/")
            self.outcome = Outcome.RESPONSE if path.endswith("/response") else Outcome.ERROR
        try:
            async with self._client.request(
                request.method,
                self._emulator + path,
                headers=_end_to_end(request.headers),
                data=io.BytesIO(await request.read()),
            ) as answer:
                body = await answer.read()
        except aiohttp.ClientError as error:  # the emulator has gone
            return web.Response(status=502, text=str(error))
        headers = _end_to_end(answer.headers)
        if path.endswith("/invocation/next") and REQUEST_ID in headers:
            self._emulator_id = headers[REQUEST_ID]
            headers[REQUEST_ID] = self._request_id
        return web.Response(status=answer.status, headers=headers, body=body)


def _end_to_end(headers: CIMultiDictProxy[str]) -> CIMultiDict[str]:
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in _HOP_BY_HOP)
