"""The gateway's HTTP side on real sockets: what `$connect` decides, other paths, a port in use."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from http import HTTPStatus

import pytest
from websockets.asyncio.client import connect
from websockets.datastructures import Headers
from websockets.exceptions import InvalidStatus
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from local.gateway.server import Gateway
from local.gateway.upgrade import path_of
from tests.test_gateway_server import (
    LIMITS,
    Event,
    Function,
    disconnect_of,
    on_a_loop,
    raises,
    returns,
    running,
)


@on_a_loop
async def test_an_upgrade_waits_for_connect_and_posts_to_it_are_gone() -> None:
    go_on = asyncio.Event()
    posted: list[int] = []

    async def part(event: Event) -> Event:
        posted.append(gateway.post(event["requestContext"]["connectionId"], b"early").status)
        await go_on.wait()
        return {"statusCode": 201}

    function = Function(connect=part)
    async with running(function) as gateway:
        opening = asyncio.ensure_future(connect(gateway.url).__aenter__())
        await function.event("CONNECT")
        assert not opening.done()
        go_on.set()
        client = await opening
        await client.close()
    assert posted == [410]


@pytest.mark.parametrize(
    ("part", "status", "message"),
    [
        (returns({"statusCode": 401}), 401, "Unauthorized"),
        (returns({"statusCode": 403, "body": "not passed on"}), 403, "Forbidden"),
        (returns({"statusCode": 501}), 501, "Not Implemented"),
        (returns({"statusCode": 599}), 599, "Unknown"),
        (returns(None), 502, "Internal server error"),
        (raises, 502, "Internal server error"),
    ],
    ids=["401", "403", "501", "599", "malformed", "raises"],
)
@on_a_loop
async def test_a_refused_upgrade(
    part: Callable[[Event], Awaitable[Event | None]], status: int, message: str
) -> None:
    function = Function(connect=part)
    async with running(function) as gateway:
        with pytest.raises(InvalidStatus) as caught:
            await connect(gateway.url)
        context = (await function.event("CONNECT"))["requestContext"]
    response = caught.value.response
    assert response.status_code == status
    assert response.headers["Content-Type"] == "application/json"
    ids = f'"connectionId":"{context["connectionId"]}", "requestId":"{context["requestId"]}"'
    assert response.body == f'{{"message": "{message}", {ids}}}'.encode()
    assert function.events.empty()  # no $disconnect for what was never connected


@on_a_loop
async def test_a_connect_that_takes_too_long_is_refused() -> None:
    go_on = asyncio.Event()

    async def part(_event: Event) -> Event:
        await go_on.wait()
        return {"statusCode": 200}

    async with running(Function(connect=part), integration_timeout_s=0.05) as gateway:
        with pytest.raises(InvalidStatus) as caught:
            await connect(gateway.url)
        go_on.set()
    assert caught.value.response.status_code == 504
    assert b'{"message": "Endpoint request timed out", ' in (caught.value.response.body or b"")


@on_a_loop
async def test_a_client_that_leaves_during_connect_is_disconnected() -> None:
    go_on = asyncio.Event()

    async def part(_event: Event) -> Event:
        await go_on.wait()
        return {"statusCode": 200}

    function = Function(connect=part)
    async with running(function) as gateway:
        opening = asyncio.ensure_future(connect(gateway.url).__aenter__())
        connection_id = (await function.event("CONNECT"))["requestContext"]["connectionId"]
        opening.cancel()
        with suppress(asyncio.CancelledError):
            await opening
        await asyncio.sleep(0.05)  # for the server to see it leave; if it is late, the outcome is the same
        go_on.set()
        assert await disconnect_of(function) == (1006, "")
        assert gateway.get(connection_id).status == 410


@pytest.mark.parametrize(
    ("headers", "chosen"),
    [({"sec-websocket-protocol": "curtain"}, "curtain"), ({"X-Other": "no"}, None), (None, None)],
)
@on_a_loop
async def test_only_a_subprotocol_that_connect_returns_is_passed_on(
    headers: dict[str, str] | None, chosen: str | None
) -> None:
    function = Function(connect=returns({"statusCode": 200, "headers": headers}))
    async with (
        running(function) as gateway,
        connect(gateway.url, subprotocols=[Subprotocol("curtain"), Subprotocol("other")]) as client,
    ):
        assert client.subprotocol == chosen
        assert client.response is not None
        assert "X-Other" not in client.response.headers
        assert "Sec-WebSocket-Extensions" not in client.response.headers


def page(request: Request) -> Response | None:
    if path_of(request) != "/":
        return None
    return Response(HTTPStatus.OK, "OK", Headers({"Content-Length": "5"}), b"hello")


async def http_get(gateway: Gateway, path: str, *headers: str) -> tuple[int, bytes]:
    host, _, port = gateway.url.removeprefix("ws://").removesuffix("/prod").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write("\r\n".join([f"GET {path} HTTP/1.1", "Host: x", *headers, "", ""]).encode())
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


@on_a_loop
async def test_other_paths_go_to_the_page_or_are_forbidden() -> None:
    function = Function()
    async with running(function, http=page) as gateway:
        assert await http_get(gateway, "/?a=b") == (200, b"hello")
        assert await http_get(gateway, "/nothing") == (403, b'{"message":"Forbidden"}')
        assert await http_get(gateway, "//prod[") == (403, b'{"message":"Forbidden"}')
        assert (await http_get(gateway, "/prod"))[0] == 426
        assert (await http_get(gateway, "/prod", "Upgrade: websocket", "Connection: Upgrade"))[0] == 400
        for path in ("/", "/test", "/prod/"):
            with pytest.raises(InvalidStatus) as caught:
                await connect(gateway.url.removesuffix("/prod") + path)
            assert caught.value.response.status_code == 403
            assert caught.value.response.body == b'{"message":"Forbidden"}'
    async with running(function) as gateway:
        assert await http_get(gateway, "/") == (403, b'{"message":"Forbidden"}')
    assert function.events.empty()


@on_a_loop
async def test_a_port_in_use_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        gateway = Gateway(Function(), limits=LIMITS)
        with pytest.raises(OSError, match="in use"):
            await gateway.start("127.0.0.1", taken.getsockname()[1])
        await gateway.stop()
