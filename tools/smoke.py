"""`make smoke URL=…`: five minutes with a deployed house, as a listener has them. The last line is JSON.

Refused at the door in every way; let in; prologue; FAQ; a turn that the model tells; one that is stopped; the
line cut in the middle of a reply and taken up again; everything deleted. It costs what a few minutes of the
model cost. `make test-cloud` runs this against the emulated AWS, in every auth mode.

The access code is CURTAIN_CODE in the environment, a token CURTAIN_TOKEN, so that nobody else sees them.
"""

import asyncio
import json
import os
import sys
import time
from typing import Annotated
from urllib.parse import urlsplit

import typer
import websockets

from local.client import Client
from local.story import OPENING
from local.tickets import Admission, NotAdmitted, find_house
from session.events import SessionDeleted, SessionReady, TurnDelta, TurnDone
from tools.admittance import Door, Unproven
from tools.witness import SOON_S, WAKING_S, Witness, need, numbers, of

FAQ = "How long do I have to wait?"
SAID = ("I open the door and look around.", "Tell me everything about this place.", "I go on.")


class Smoke(Witness):
    async def visit(self, *, wait: bool) -> None:
        """`wait`: until what lets in is too old. Raises as Witness, and NotAdmitted."""
        with self.step("refused at the door") as proof:
            proof |= await self.door.refusals()
        guarded = self.door.by_ticket or self.door.admission.iam
        spare = await self.door.spare() if guarded and wait else None
        async with self.line() as client:
            with self.step("let in, and greeted"):
                await self.until(client, lambda frame: isinstance(frame, SessionReady))
            await self._prologue(client)
            await self._faq(client)
            await self._first_words(client)
            await self._turn(client)
            await self._stop(client)
            cut = await self._cut(client)
        async with self.line() as client:
            await self._reconnected(client, cut)
            with self.step("deleted"):
                await client.send({"action": "delete"})
                await self.until(client, lambda frame: isinstance(frame, SessionDeleted))
        if spare:
            with self.step("refused with what has expired") as proof:
                proof["status"] = await self.door.outlived(*spare)

    async def _prologue(self, client: Client) -> None:
        with self.step("prologue: asks, is answered, asks on") as proof:
            first = await self.question(client)
            choice = first.choices[0] if first.choices else None
            words = {"choice": choice.id} if choice else {"text": "Ada"}
            await client.send({"action": "answer", "question_id": first.id, **words})
            self.tell("you", choice.label if choice else "Ada")
            second = await self.question(client, first.id)
            proof |= {"questions": [first.id, second.id]}

    async def _faq(self, client: Client) -> None:
        with self.step("FAQ: answered without the model") as proof:
            done = await self.ended(client, await client.say(FAQ), SOON_S)
            turn = self.story.turns[done.turn_id]
            need(turn.source == "faq" and bool(turn.text), f"the FAQ did not answer {FAQ!r}")
            proof |= {"asked": FAQ, "answer": turn.text}

    async def _first_words(self, client: Client) -> None:
        with self.step("the model wakes, and begins the story") as proof:
            await client.send({"action": "skip"})
            done = await self.ended(client, OPENING, WAKING_S)
            proof |= numbers(done)

    async def _turn(self, client: Client) -> None:
        with self.step("a turn that the model tells") as proof:
            done = await self.ended(client, await client.say(SAID[0]), WAKING_S)
            need(done.status == "completed", f"the turn ended as {done.status}: {done.finish_reason}")
            proof |= numbers(done)

    async def _stop(self, client: Client) -> None:
        """A short reply may be over before the word is out: then it is tried again."""
        with self.step("stopped in the middle") as proof:
            for said in SAID * 2:
                turn = await client.say(said)
                await self.until(client, of(turn, TurnDelta, TurnDone), WAKING_S)
                asked = time.monotonic()
                if (frame := self.story.stop()) is None:
                    continue
                await client.send(frame)
                done = await self.ended(client, turn, WAKING_S)
                if done.status == "stopped":
                    seconds = round(time.monotonic() - asked, 3)
                    proof |= {"seconds_to_the_end": seconds, "length": done.length}
                    return
            raise Unproven("every reply was over before it could be stopped")

    async def _cut(self, client: Client) -> str:
        """Cuts the line once a reply has begun; returns its turn."""
        turn = await client.say(SAID[1])
        await self.until(client, of(turn, TurnDelta, TurnDone), WAKING_S)
        client.socket.transport.abort()  # no close frame: the network is gone
        return turn

    async def _reconnected(self, client: Client, turn: str) -> None:
        with self.step("reconnected, and the reply goes on") as proof:
            heard = len(self.story.turns[turn].text)
            await self.until(client, lambda _: self._whole(turn), WAKING_S)
            told = self.story.turns[turn]
            need(told.status == "completed", f"the reply ended as {told.status}")
            proof |= {"heard_before": heard, "whole": len(told.text)}

    def _whole(self, turn: str) -> bool:
        return self.story.held is None and self.story.turns[turn].over


async def find_door(url: str, page: str | None, origin: str | None, admission: Admission) -> Door:
    """Raises NotAdmitted, OSError."""
    told_by = page or url
    found, admission = await find_house(told_by, admission)
    if page or told_by != found:
        parts = urlsplit(told_by)
        origin = origin or f"{parts.scheme}://{parts.netloc}"
    return Door(found if url == told_by else url, admission, origin)


def main(
    url: Annotated[str, typer.Argument(help="The WebSocket's address, or the page's.")],
    page: Annotated[str | None, typer.Option(help="The page's address, where tickets are given.")] = None,
    iam: Annotated[bool, typer.Option(help="Sign with the AWS credentials found here.")] = False,
    world: Annotated[str | None, typer.Option(help="The world to play in.")] = None,
    model: Annotated[str | None, typer.Option(help="The model that tells the story.")] = None,
    origin: Annotated[
        str | None, typer.Option(help="The page's own name, where it's reached by another one.")
    ] = None,
    wait: Annotated[
        bool, typer.Option(help="Wait until a ticket is too old, a minute, to see it refused.")
    ] = True,
) -> None:
    """Proves a deployed house in five minutes."""
    began = time.monotonic()
    told = os.environ
    admission = Admission(code=told.get("CURTAIN_CODE"), token=told.get("CURTAIN_TOKEN"), iam=iam)

    async def played() -> Smoke:
        door = await find_door(url, page, origin, admission)
        smoke = Smoke(door, wishes={"world": world, "model": model})
        await smoke.visit(wait=wait)
        return smoke

    try:
        smoke = asyncio.run(played())
    except (Unproven, NotAdmitted) as error:
        sys.exit(f"smoke: NOT PROVEN: {error}\n`make logs` shows what the functions say.")
    except (OSError, UnicodeError, websockets.WebSocketException) as error:
        sys.exit(
            f"smoke: NOT PROVEN: {url}: {error!r}\nIs that what the deploy calls PageUrl or WebSocketUrl? "
            "`make logs` shows what the functions say."
        )
    smoke.document["seconds"]["all"] = round(time.monotonic() - began, 2)
    print(json.dumps({"smoke": url, **smoke.document}, ensure_ascii=False))


if __name__ == "__main__":
    typer.run(main)
