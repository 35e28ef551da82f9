"""`@connections` over HTTP for the function's SDK: POST, GET, DELETE `/{stage}/@connections/{connection_id}`.

The path may be percent-encoded, as SDKs do (`%40connections`, `%3D`). SDKs sign their requests (SigV4 for
`execute-api`); signatures are accepted unread, so mount this on loopback only.
"""

from aiohttp import web

from local.gateway.management import Answer
from local.gateway.server import Gateway


def add_routes(app: web.Application, gateway: Gateway) -> None:
    """Mount the stage's `@connections` on an application that runs on the gateway's event loop."""

    async def post(request: web.Request) -> web.Response:
        data = await _read(request, gateway.limits.message_bytes)
        return _response(gateway.post(request.match_info["connection_id"], data))

    async def get(request: web.Request) -> web.Response:
        return _response(gateway.get(request.match_info["connection_id"]))

    async def delete(request: web.Request) -> web.Response:
        return _response(gateway.delete(request.match_info["connection_id"]))

    path = f"/{gateway.stage}/@connections/{{connection_id}}"
    app.router.add_post(path, post)
    app.router.add_get(path, get, allow_head=False)
    app.router.add_delete(path, delete)


async def _read(request: web.Request, limit: int) -> bytes:
    """The body, cut off one chunk past the limit: enough to see that it is too large."""
    data = bytearray()
    async for chunk in request.content.iter_any():
        data += chunk
        if len(data) > limit:
            break
    return bytes(data)


def _response(answer: Answer) -> web.Response:
    return web.Response(status=answer.status, headers=answer.headers, body=answer.body)
