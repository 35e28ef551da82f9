"""A listener who writes down what a house tells, and what that proves. Part of `make smoke`."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import websockets

from local.client import Client
from local.story import Story
from session.events import (
    ErrorFrame,
    ModelStatus,
    PrologueFragment,
    PrologueLine,
    PrologueQuestion,
    ServerFrame,
    TurnDelta,
    TurnDone,
)
from tools.admittance import Door, Unproven

SOON_S = 60.0  # for what the light function does
WAKING_S = 330.0  # a start that never comes is told after five minutes

Wanted = Callable[[ServerFrame], bool]


class Witness:
    """One listener's visit: what was proven, with times. Everything raises Unproven where it isn't so.

    Args:
        wishes: what `hello` asks for: world, model.
        fails: the model may fail to wake.
        name: tells it from others in what is printed.
    """

    def __init__(
        self,
        door: Door,
        *,
        wishes: Mapping[str, str | None] | None = None,
        fails: bool = False,
        name: str = "",
    ) -> None:
        self.document: dict[str, Any] = {"proven": {}, "seconds": {}}
        self.story = Story()
        self.door = door
        self._fails = fails
        self._name = name
        self._wishes = wishes or {}
        self._began = time.monotonic()

    @asynccontextmanager
    async def line(self) -> AsyncIterator[Client]:
        async with Client(self.door.url, self.story, self.door.admission, **self._wishes) as client:
            await client.hello()
            keeping = asyncio.ensure_future(client.keep())
            try:
                yield client
            finally:
                keeping.cancel()
                with suppress(asyncio.CancelledError, websockets.ConnectionClosed):
                    await keeping

    async def question(self, client: Client, known: str = "") -> PrologueQuestion:
        """The prologue's next question after the one with this id."""
        if (asked := self.story.question) is not None and asked.id != known:
            return asked
        frame = await self.until(client, lambda one: isinstance(one, PrologueQuestion) and one.id != known)
        assert isinstance(frame, PrologueQuestion)
        return frame

    async def ended(self, client: Client, turn: str, within_s: float = WAKING_S) -> TurnDone:
        frame = await self.until(client, of(turn, TurnDone), within_s)
        assert isinstance(frame, TurnDone)
        view = self.story.turns[turn]
        if view.said:
            self.tell("you", view.said)
        self.tell(view.source, f"{view.text} [{frame.status}]")
        return frame

    async def until(self, client: Client, wanted: Wanted, within_s: float = SOON_S) -> ServerFrame:
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                async for frame in client.frames():
                    self.hear(frame)
                    if wanted(frame):
                        return frame
                raise Unproven("the house hung up")
        raise Unproven(f"nothing of it came within {within_s:.0f} s")

    def hear(self, frame: ServerFrame) -> None:
        match frame:
            case PrologueLine() | PrologueQuestion() | PrologueFragment():
                self.tell(frame.speaker or "…", frame.text)
            case ModelStatus():
                self.tell("model", f"({frame.state}{': ' + frame.message if frame.message else ''})")
                need(self._fails or frame.state != "failed", "the model did not wake")
            case ErrorFrame():
                raise Unproven(f"{frame.code}: {frame.message} {frame.hint}")

    def tell(self, who: str, words: str) -> None:
        print(f"{time.monotonic() - self._began:8.2f} {self._name}{who:>12}  {words}", flush=True)

    @contextmanager
    def step(self, name: str) -> Iterator[dict[str, Any]]:
        began = time.monotonic()
        proof: dict[str, Any] = {}
        try:
            yield proof
        except Unproven as error:
            raise Unproven(f"{name}: {error}") from None
        self.document["proven"][name] = proof or True
        self.document["seconds"][name] = round(time.monotonic() - began, 2)
        self.tell("PROVEN", name)


def need(holds: bool, otherwise: str) -> None:
    """Raises Unproven."""
    if not holds:
        raise Unproven(otherwise)


def numbers(done: TurnDone) -> dict[str, Any]:
    """How a reply ended, and what it took."""
    need(done.usage is not None and done.metrics is not None, "the turn came without its numbers")
    assert done.usage
    assert done.metrics
    metrics = done.metrics.model_dump(exclude_none=True)
    return {"status": done.status, "length": done.length, **done.usage.model_dump(), **metrics}


def of(turn: str, *kinds: type[TurnDelta | TurnDone]) -> Wanted:
    return lambda frame: isinstance(frame, kinds) and frame.turn_id == turn
