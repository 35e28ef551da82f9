"""`@connections` over HTTP: what boto3 makes of the answers, and their bytes on the wire."""

import asyncio
import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from aiohttp import web
from botocore.config import Config
from botocore.exceptions import ClientError
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from local.gateway.connections_api import add_routes
from local.gateway.limits import load_limits
from local.gateway.server import Gateway

if TYPE_CHECKING:
    from mypy_boto3_apigatewaymanagementapi import ApiGatewayManagementApiClient

UNKNOWN = "PJqB0fHsqRcCHlw="


class Stage:
    """A gateway and its `@connections` server, one client, and boto3."""

    def __init__(self, client: ClientConnection, connection_id: str, port: int) -> None:
        self.client = client
        self.connection_id = connection_id
        self.port = port
        self.sdk: ApiGatewayManagementApiClient = boto3.client(
            "apigatewaymanagementapi",
            endpoint_url=f"http://127.0.0.1:{port}/prod",
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(retries={"total_max_attempts": 1}),
        )

    async def post(self, data: bytes, connection_id: str | None = None) -> int:
        call = functools.partial(
            self.sdk.post_to_connection, ConnectionId=connection_id or self.connection_id, Data=data
        )
        return (await asyncio.to_thread(call))["ResponseMetadata"]["HTTPStatusCode"]

    async def wire(self, request: str, body: bytes = b"") -> tuple[str, dict[str, str], bytes]:
        """Status line, headers and body of the answer to a request as written here."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        head = f"{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode())
        await writer.drain()
        await asyncio.sleep(0)  # SDKs send headers and body as two segments
        writer.write(body)
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        head, _, rest = answer.decode().partition("\r\n\r\n")
        status, *lines = head.split("\r\n")
        return status, dict(line.split(": ", 1) for line in lines), rest.encode()


@asynccontextmanager
async def stage() -> AsyncIterator[Stage]:
    async def function(event: dict[str, Any]) -> dict[str, Any]:
        ids.append(event["requestContext"]["connectionId"])
        return {"statusCode": 200}

    ids: list[str] = []
    gateway = Gateway(function, limits=load_limits())
    await gateway.start("127.0.0.1", 0)
    app = web.Application()
    add_routes(app, gateway)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        async with connect(gateway.url) as client:
            while gateway.get(ids[0]).status != 200:
                await asyncio.sleep(0)
            played = Stage(client, ids[0], runner.addresses[0][1])
            yield played
            played.sdk.close()
    finally:
        await gateway.stop()
        await runner.cleanup()


def on_a_stage(test: Callable[[Stage], Awaitable[None]]) -> Callable[[], None]:
    """Run an async test on a stage; half a minute is only there so that a bug can't hang the suite."""

    def run() -> None:
        async def limited() -> None:
            async with asyncio.timeout(30), stage() as played:
                await test(played)

        asyncio.run(limited())

    run.__name__ = test.__name__
    return run


@on_a_stage
async def test_boto3_posts_text(stage: Stage) -> None:
    assert await stage.post("Totó 🐕".encode()) == 200
    assert await stage.client.recv() == "Totó 🐕"
    assert await stage.post(b"a\xffb") == 200
    assert await stage.client.recv() == "a\ufffdb"


@on_a_stage
async def test_boto3_posts_128_kb_and_not_a_byte_more(stage: Stage) -> None:
    assert await stage.post(b"x" * 131_072) == 200
    assert await stage.client.recv() == "x" * 131_072
    for size in (131_073, 3_000_000):
        with pytest.raises(stage.sdk.exceptions.PayloadTooLargeException):
            await stage.post(b"x" * size)


@on_a_stage
async def test_boto3_sees_a_gone_connection(stage: Stage) -> None:
    with pytest.raises(stage.sdk.exceptions.GoneException):
        await stage.post(b"x", UNKNOWN)
    await stage.client.close()
    with pytest.raises(stage.sdk.exceptions.GoneException):
        await stage.post(b"late")


@on_a_stage
async def test_boto3_sees_a_bad_id(stage: Stage) -> None:
    with pytest.raises(ClientError) as caught:
        await stage.post(b"x", "WDGT8fY4joECJrQ=test")
    assert caught.value.response["Error"]["Code"] == "BadRequestException"
    assert caught.value.response["Error"]["Message"] == "Invalid connectionId: WDGT8fY4joECJrQ=test"


@on_a_stage
async def test_boto3_is_told_to_slow_down(stage: Stage) -> None:
    async def flood() -> None:
        for _ in range(1000):
            await stage.post(b"x" * 131_072)

    stage.client.transport.pause_reading()
    with pytest.raises(stage.sdk.exceptions.LimitExceededException):
        await flood()
    stage.client.transport.abort()


@on_a_stage
async def test_boto3_describes_and_deletes(stage: Stage) -> None:
    described = await asyncio.to_thread(stage.sdk.get_connection, ConnectionId=stage.connection_id)
    assert described["Identity"]["SourceIp"] == "127.0.0.1"
    assert "websockets" in described["Identity"]["UserAgent"]
    assert described["ConnectedAt"] <= described["LastActiveAt"]
    await asyncio.to_thread(stage.sdk.delete_connection, ConnectionId=stage.connection_id)
    with pytest.raises(ConnectionClosed):
        await stage.client.recv()
    assert (stage.client.close_code, stage.client.close_reason) == (1000, "Connection Closed Normally")


@on_a_stage
async def test_the_bytes_of_the_answers(stage: Stage) -> None:
    path = f"/prod/%40connections/{stage.connection_id.replace('=', '%3D')}"
    status, headers, body = await stage.wire(f"POST {path}", b"hello")
    assert (status, body) == ("HTTP/1.1 200 OK", b"")
    assert (headers["Content-Type"], headers["Content-Length"]) == ("application/json", "0")
    assert headers.keys() >= {"x-amzn-RequestId", "x-amz-apigw-id", "X-Amzn-Trace-Id", "Date"}
    assert await stage.client.recv() == "hello"

    status, headers, body = await stage.wire(f"POST /prod/@connections/{UNKNOWN}", b"hello")
    assert (status, body) == ("HTTP/1.1 410 Gone", b"")
    assert (headers["x-amzn-ErrorType"], headers["Content-Type"]) == ("GoneException", "application/json")
    assert headers["Content-Length"] == "0"

    status, headers, body = await stage.wire("POST /prod/@connections/nonsense", b"hello")
    assert (status, body) == ("HTTP/1.1 400 Bad Request", b'{"message":"Invalid connectionId: nonsense"}')
    assert (headers["x-amzn-ErrorType"], headers["Content-Type"]) == (
        "BadRequestException",
        "application/json",
    )

    status, headers, body = await stage.wire(f"GET {path}")
    assert (status, headers["Content-Type"]) == ("HTTP/1.1 200 OK", "application/json")
    assert body.startswith(b'{\n  "identity" : {\n    "sourceIp" : "127.0.0.1",\n')

    status, headers, body = await stage.wire(f"DELETE {path}")
    assert (status, body) == ("HTTP/1.1 204 No Content", b"")
    assert not headers.keys() & {"Content-Type", "Content-Length"}
