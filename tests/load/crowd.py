"""Listeners who come all at once, and what they see of the house's limits.

Not on Locust, which was tried (2.47): it has no WebSocket user, and its users are greenlets, where
`local.client`, which is asyncio, can't run. A second client of the protocol would have bought statistics of
requests, which a story hasn't.
"""

import asyncio
import json
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field

from local.client import Client
from local.tickets import Admission
from session.events import (
    ErrorFrame,
    ModelStatus,
    PrologueQuestion,
    Queue,
    ServerFrame,
    SessionReady,
    SessionRenamed,
    TurnDone,
    TurnStarted,
)
from session.limits import limits

SILENCE_S = 3.0  # after so long without an answer, all are there


@dataclass
class Crowd:
    """Args:
    url: of the house's WebSocket.
    """

    url: str
    admission: Admission = field(default_factory=Admission)
    telling: set[int] = field(default_factory=set)  # listeners to whom a model talks just now
    most_telling: int = 0
    longest_queue: int = 0
    ended: Counter[str] = field(default_factory=Counter)  # turns of the model, by how they ended
    refused: Counter[str] = field(default_factory=Counter)  # by code
    resting: dict[int, str] = field(default_factory=dict)  # what those were told for whom nobody is woken

    def client(self) -> Client:
        return Client(self.url, admission=self.admission)

    async def listen(self, listeners: int, seconds: float) -> None:
        """So many tell their stories at a time, for so long or until the narrator rests for all of them."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await asyncio.gather(*(self._listen(number) for number in range(listeners)))

    async def _listen(self, number: int) -> None:
        async with self.client() as client:
            pinging = asyncio.create_task(client.keep())
            try:
                await client.hello()
                async for frame in client.frames():
                    self._see(number, frame)
                    if number in self.resting:
                        return
                    if isinstance(frame, PrologueQuestion):
                        await client.send({"action": "skip"})
                    elif isinstance(frame, TurnDone):
                        await client.say("I go on.")
            finally:
                pinging.cancel()

    def _see(self, number: int, frame: ServerFrame) -> None:
        match frame:
            case TurnStarted(source="model"):
                self.telling.add(number)
                self.most_telling = max(self.most_telling, len(self.telling))
            case TurnDone():
                self.telling.discard(number)
                self.ended[frame.finish_reason] += 1
            case Queue():
                self.longest_queue = max(self.longest_queue, frame.place)
            case ErrorFrame():
                self.refused[frame.code] += 1
            case ModelStatus(state="resting", message=str(message)):
                self.resting[number] = message

    async def ask_again(self) -> list[str]:
        """Somebody new comes and wishes for the model: the states that follow, up to a rest."""
        states: list[str] = []
        async with self.client() as client:
            await client.hello()
            async for frame in client.frames():
                if isinstance(frame, PrologueQuestion):
                    await client.send({"action": "skip"})
                if isinstance(frame, ModelStatus):
                    states.append(frame.state)
                    if frame.message or frame.state in ("ready", "failed"):
                        break
        return states

    async def flood(self, frames: int) -> tuple[int, int, float]:
        """One connection sends so many at once: how many were taken, how many refused, in how long (s)."""
        async with self.client() as client:
            await client.hello()
            async for frame in client.frames():
                if isinstance(frame, PrologueQuestion):
                    break
            began, answers = time.monotonic(), Counter[str]()
            for count in range(frames):
                await client.socket.send(json.dumps({"action": "rename", "title": f"Flood {count}"}))
            with suppress(TimeoutError):
                async with asyncio.timeout(SILENCE_S) as patience:
                    async for frame in client.frames():
                        answers[frame.code if isinstance(frame, ErrorFrame) else frame.type] += 1
                        if isinstance(frame, SessionRenamed | ErrorFrame):
                            took = time.monotonic() - began
                            patience.reschedule(asyncio.get_running_loop().time() + SILENCE_S)
            return answers["session.renamed"], answers["too_many_frames"], took

    async def besiege(self) -> int:
        """Begins stories until no more are allowed; returns how many were."""
        for begun in range(limits().address_sessions + 1):
            async with self.client() as client:
                await client.hello()
                async for frame in client.frames():
                    if isinstance(frame, ErrorFrame):
                        self.refused[frame.code] += 1
                        return begun
                    if isinstance(frame, SessionReady):
                        break
        raise AssertionError(f"{limits().address_sessions + 1} stories were begun from one address")
