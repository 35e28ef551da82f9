"""How connections end, on real sockets: limits, closes from either side, shutdown."""

import asyncio
from contextlib import suppress

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidMessage

from tests.test_gateway_server import (
    Event,
    Function,
    connected,
    disconnect_of,
    ended,
    fill,
    on_a_loop,
)


@on_a_loop
async def test_a_frame_over_32_kb_closes_with_1009() -> None:
    function = Function()
    async with connected(function) as (_, client, _):
        await client.send("x" * 32_768)
        assert len((await function.event("MESSAGE"))["body"]) == 32_768
        await client.send("x" * 33_792)
        assert (await ended(client))[0] == 1009
        assert (await disconnect_of(function))[0] == 1009


@on_a_loop
async def test_a_message_over_128_kb_closes_with_1009() -> None:
    function = Function()
    async with connected(function) as (_, client, _):
        await client.send(["x" * 32_768] * 4)
        assert len((await function.event("MESSAGE"))["body"]) == 131_072
        with suppress(ConnectionClosed):  # the refusal may come before the last, empty frame
            await client.send(["x" * 32_768] * 4 + ["x"])
        assert (await ended(client))[0] == 1009
        assert (await disconnect_of(function))[0] == 1009


@on_a_loop
async def test_a_binary_frame_closes_with_1003() -> None:
    function = Function()
    async with connected(function) as (_, client, _):
        await client.send(b"{}")
        assert (await ended(client))[0] == 1003
        assert (await disconnect_of(function))[0] == 1003


@pytest.mark.parametrize(
    ("code", "reason", "told"),
    [
        (1000, "", (1000, "")),
        (4001, "l'été 🦁", (4001, "l'été 🦁")),
        (None, "", (1005, "Client-side close frame status not set")),
    ],
    ids=["normal", "own", "none"],
)
@on_a_loop
async def test_disconnect_tells_how_the_client_closed(
    code: int | None, reason: str, told: tuple[int, str]
) -> None:
    function = Function()
    async with connected(function) as (gateway, client, connection_id):
        async with client.send_context():  # close() has no way to send no code
            client.protocol.send_close(code, reason)
        assert await disconnect_of(function) == told
        assert gateway.post(connection_id, b"late").status == 410


@on_a_loop
async def test_a_client_that_is_closing_is_gone_before_its_disconnect() -> None:
    function = Function()
    async with connected(function) as (gateway, client, connection_id):
        client.transport.pause_reading()  # so that it never sees the server's side of the handshake
        closing = asyncio.ensure_future(client.close(1000, "bye"))
        while gateway.post(connection_id, b"late").status == 200:
            await asyncio.sleep(0.01)
        assert gateway.delete(connection_id).status == 410
        assert function.events.empty()
        client.transport.abort()
        await closing
        assert await disconnect_of(function) == (1000, "bye")


@on_a_loop
async def test_a_lost_connection_is_disconnected_without_a_close_frame() -> None:
    function = Function()
    async with connected(function) as (_, client, _):
        client.transport.abort()
        assert await disconnect_of(function) == (1006, "")


@on_a_loop
async def test_delete_closes_after_what_was_posted() -> None:
    function = Function()
    async with connected(function) as (gateway, client, connection_id):
        gateway.post(connection_id, b"one")
        gateway.post(connection_id, b"two")
        assert gateway.delete(connection_id).status == 204
        assert gateway.post(connection_id, b"three").status == 410
        assert [await client.recv(), await client.recv()] == ["one", "two"]
        assert await ended(client) == (1000, "Connection Closed Normally")
        assert await disconnect_of(function) == (1000, "Connection Closed Normally")


@on_a_loop
async def test_delete_cuts_off_a_client_that_does_not_read() -> None:
    function = Function()
    async with connected(function, close_grace_s=0.05) as (gateway, client, connection_id):
        client.transport.pause_reading()
        await fill(gateway, connection_id)
        gateway.delete(connection_id)
        assert await disconnect_of(function) == (1006, "")
        client.transport.abort()


class Clock:
    """Time that stands still until it is moved."""

    now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("limit", ["idle_s", "life_s"])
@on_a_loop
async def test_an_idle_or_old_connection_is_closed_with_1001(limit: str) -> None:
    function, clock = Function(), Clock()
    async with connected(function, clock=clock, **{limit: 0.05}) as (gateway, client, connection_id):
        await asyncio.sleep(0.2)  # the timer fires, but no time has passed on the clock
        gateway.post(connection_id, b"still there")
        assert await client.recv() == "still there"
        clock.now += 0.05
        assert await ended(client) == (1001, "Going away")
        assert await disconnect_of(function) == (1001, "Going away")


@on_a_loop
async def test_stop_goes_away_and_runs_disconnect() -> None:
    finished: list[int] = []

    async def part(event: Event) -> Event:
        await asyncio.sleep(0.05)
        finished.append(event["requestContext"]["disconnectStatusCode"])
        return {"statusCode": 200}

    function = Function(disconnect=part)
    async with connected(function) as (gateway, client, connection_id):
        stopping = asyncio.ensure_future(gateway.stop())
        assert await ended(client) == (1001, "Going away")
        await stopping
        assert finished == [1001]
        assert gateway.post(connection_id, b"late").status == 410
        with pytest.raises(OSError, match="Connect call failed"):
            await connect(gateway.url)


@on_a_loop
async def test_stop_waits_for_nobody_forever() -> None:
    cancelled = asyncio.Event()

    async def never(_event: Event) -> Event:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return {}

    function = Function(message=never)
    async with connected(function, close_grace_s=0.1) as (gateway, client, connection_id):
        host, _, port = gateway.url.removeprefix("ws://").removesuffix("/prod").partition(":")
        _, silent = await asyncio.open_connection(host, int(port))  # never sends a request
        await client.send("hello")
        await function.event("MESSAGE")
        client.transport.pause_reading()
        await fill(gateway, connection_id)
        function.parts["connect"] = never
        opening = asyncio.ensure_future(connect(gateway.url).__aenter__())
        await function.event("CONNECT")
        await gateway.stop()
        assert cancelled.is_set()
        assert await disconnect_of(function) == (1001, "Going away")
        with pytest.raises(InvalidMessage):
            await opening
        client.transport.abort()
        silent.close()
