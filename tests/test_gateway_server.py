"""The gateway on real sockets, with a real WebSocket client: events, errors, posts.

Its first part (recording function, running gateway, connected client) also serves the other socket tests.
"""

import asyncio
import functools
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Origin

from local.gateway.limits import load_limits
from local.gateway.server import Gateway

LIMITS = load_limits()
Event = dict[str, Any]


def on_a_loop(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run an async test; half a minute is only there so that a bug can't hang the suite."""

    @functools.wraps(test)
    def run(*args: object, **kwargs: object) -> None:
        async def limited() -> None:
            async with asyncio.timeout(30):
                await test(*args, **kwargs)

        asyncio.run(limited())

    return run


class Function:
    """A light function that records its events and plays a given part on each route."""

    def __init__(self, **parts: Callable[[Event], Awaitable[Event | None]]) -> None:
        self.parts = parts
        self.events: asyncio.Queue[Event] = asyncio.Queue()

    async def __call__(self, event: Event) -> Event | None:
        self.events.put_nowait(event)
        part = self.parts.get(event["requestContext"]["eventType"].lower())
        return {"statusCode": 200} if part is None else await part(event)

    async def event(self, kind: str) -> Event:
        """The next event, which has to be of this kind."""
        event = await self.events.get()
        assert event["requestContext"]["eventType"] == kind
        return event


def returns(answer: Event | None) -> Callable[[Event], Awaitable[Event | None]]:
    async def part(_event: Event) -> Event | None:
        return answer

    return part


async def raises(_event: Event) -> None:
    raise RuntimeError("boom")


@asynccontextmanager
async def running(function: Function, **options: Any) -> AsyncIterator[Gateway]:
    """A gateway on a free port; options that are limits change the limits."""
    changed = {name: options.pop(name) for name in list(options) if name in type(LIMITS).model_fields}
    gateway = Gateway(function, limits=LIMITS.model_copy(update=changed), **options)
    await gateway.start("127.0.0.1", 0)
    try:
        yield gateway
    finally:
        await gateway.stop()


@asynccontextmanager
async def connected(
    function: Function, **options: Any
) -> AsyncIterator[tuple[Gateway, ClientConnection, str]]:
    """A gateway, a client, and its connection id."""
    async with running(function, **options) as gateway, connect(gateway.url) as client:
        connection_id = (await function.event("CONNECT"))["requestContext"]["connectionId"]
        while gateway.get(connection_id).status != 200:  # the client's 101 is a step ahead of the server
            await asyncio.sleep(0)
        yield gateway, client, connection_id


async def ended(client: ClientConnection) -> tuple[int, str]:
    """Read to the end of a connection: the code and reason of the server's close frame."""
    with suppress(ConnectionClosed):
        while True:
            await client.recv()
    assert client.close_code is not None
    return client.close_code, client.close_reason or ""


async def disconnect_of(function: Function) -> tuple[int, str]:
    context = (await function.event("DISCONNECT"))["requestContext"]
    return context["disconnectStatusCode"], context["disconnectReason"]


async def fill(gateway: Gateway, connection_id: str) -> int:
    """Post numbered messages of 128 KB until the client's buffer is full: how many were accepted."""
    for number in range(1000):
        answer = gateway.post(connection_id, b"%06d" % number + b"." * 131_066)
        if answer.status == 429:
            return number
        await asyncio.sleep(0)
    raise AssertionError("1000 messages of 128 KB were accepted for a client that does not read")


@on_a_loop
async def test_events_over_a_connections_life() -> None:
    function = Function()
    async with running(function) as gateway:
        address = gateway.url.removeprefix("ws://").removesuffix("/prod")
        async with connect(
            gateway.url + "?ticket=a%20b", origin=Origin("http://localhost:1234"), user_agent_header="test"
        ) as client:
            await client.send('{"action":"say","text":"Totó 🐕\u2028"}')
            made, said = await function.event("CONNECT"), await function.event("MESSAGE")
        left = await function.event("DISCONNECT")
    assert made["queryStringParameters"] == {"ticket": "a b"}
    assert (
        made["headers"].items()
        >= {
            "Host": address,
            "Origin": "http://localhost:1234",
            "User-Agent": "test",
            "X-Forwarded-For": "127.0.0.1",
            "X-Forwarded-Port": address.partition(":")[2],
        }.items()
    )
    assert not made["headers"].keys() & {"Connection", "Upgrade"}
    assert said.keys() == {"requestContext", "body", "isBase64Encoded"}
    assert json.loads(said["body"]) == {"action": "say", "text": "Totó 🐕\u2028"}
    contexts = [event["requestContext"] for event in (made, said, left)]
    for same in ("connectionId", "connectedAt", "identity", "domainName", "stage", "apiId"):
        assert contexts[0][same] == contexts[1][same] == contexts[2][same]
    assert contexts[0]["domainName"] == address
    assert contexts[0]["identity"] == {"sourceIp": "127.0.0.1", "userAgent": "test"}
    assert len({context["requestId"] for context in contexts}) == 3


@pytest.mark.parametrize("part", [raises, returns(None), returns({"statusCode": 200, "Data": "x"})])
@on_a_loop
async def test_a_function_that_fails_on_a_message(
    part: Callable[[Event], Awaitable[Event | None]], caplog: pytest.LogCaptureFixture
) -> None:
    function = Function(message=part)
    async with connected(function) as (_, client, connection_id):
        for _ in range(2):  # the connection stays open
            await client.send("hello")
            request_id = (await function.event("MESSAGE"))["requestContext"]["requestId"]
            assert await client.recv() == (
                f'{{"message": "Internal server error", "connectionId":"{connection_id}", '
                f'"requestId":"{request_id}"}}'
            )
    assert f"$default of connection {connection_id}" in caplog.text


@on_a_loop
async def test_a_function_that_takes_too_long_runs_on() -> None:
    go_on, finished = asyncio.Event(), asyncio.Event()

    async def part(_event: Event) -> Event:
        await go_on.wait()
        finished.set()
        return {"statusCode": 200}

    function = Function(message=part)
    async with connected(function, integration_timeout_s=0.05) as (_, client, connection_id):
        await client.send("hello")
        request_id = (await function.event("MESSAGE"))["requestContext"]["requestId"]
        assert await client.recv() == (
            f'{{"message": "Endpoint request timed out", "connectionId":"{connection_id}", '
            f'"requestId":"{request_id}"}}'
        )
        assert not finished.is_set()
        go_on.set()
        await finished.wait()


@on_a_loop
async def test_a_message_without_a_route_is_forbidden() -> None:
    function = Function()
    async with running(function, routes=["say"]) as gateway, connect(gateway.url) as client:
        await client.send('{"action":"shout"}')
        frame = await client.recv()
        assert isinstance(frame, str)
        assert frame.startswith('{"message": "Forbidden", "connectionId":"')
        await client.send('{"action":"say"}')
        assert (await function.event("MESSAGE"))["requestContext"]["routeKey"] == "say"


@on_a_loop
async def test_what_the_function_returns_on_a_message_is_dropped() -> None:
    function = Function(message=returns({"statusCode": 500, "body": "dropped"}))
    async with connected(function) as (gateway, client, connection_id):
        await client.send("not JSON")
        assert (await function.event("MESSAGE"))["requestContext"]["routeKey"] == "$default"
        gateway.post(connection_id, b"posted")
        assert await client.recv() == "posted"


@on_a_loop
async def test_messages_do_not_wait_for_each_other() -> None:
    go_on = asyncio.Event()

    async def part(event: Event) -> Event:
        if event["body"] == "slow":
            await go_on.wait()
        gateway.post(event["requestContext"]["connectionId"], event["body"].encode())
        return {"statusCode": 200}

    async with connected(Function(message=part)) as (gateway, client, _):
        await client.send("slow")
        await client.send("fast")
        assert await client.recv() == "fast"
        go_on.set()
        assert await client.recv() == "slow"


@on_a_loop
async def test_posts_arrive_in_order_and_as_text() -> None:
    async with connected(Function()) as (gateway, client, connection_id):
        texts = [f"{number} 🦁 l'été" for number in range(300)]
        for text in texts:
            assert gateway.post(connection_id, text.encode()).status == 200
        assert [await client.recv() for _ in texts] == texts
        gateway.post(connection_id, b"a\xffb")
        assert await client.recv() == "a\ufffdb"


@on_a_loop
async def test_a_client_that_does_not_read_hinders_nobody_else() -> None:
    function = Function()
    async with connected(function) as (gateway, other, other_id), connect(gateway.url, max_queue=1) as slow:
        slow_id = (await function.event("CONNECT"))["requestContext"]["connectionId"]
        while gateway.get(slow_id).status != 200:
            await asyncio.sleep(0)
        accepted = await fill(gateway, slow_id)
        gateway.post(other_id, b"hello")
        assert await other.recv() == "hello"
        received = [await slow.recv() for _ in range(accepted)]
        assert [int(text[:6]) for text in received] == list(range(accepted))
        assert gateway.post(slow_id, b"again").status == 200
        assert await slow.recv() == "again"
