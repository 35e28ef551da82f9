"""`python -m local.chat [URL]`: a story in the terminal. Ctrl+C stops the reply, a second one leaves."""

import asyncio
import signal
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer
import websockets
from rich.console import Console

from local.client import Client, NotConnected, TooLong
from local.screen import Screen
from local.story import Retelling, Story
from local.tickets import Admission, NotAdmitted, find_house
from session.events import PrologueLine, ServerFrame, SessionExport, SessionReady

URL = "ws://127.0.0.1:8000/prod"
WAITS_S = (0.5, 1, 2, 4, 8, 15)  # before the line is tried again
HELP = """\
your words · a number answers · /skip · /stop · /wake · /quit
the last turn:  /retry · /edit TEXT · /undo · /continue · /notfaq
this story:     /rename TITLE · /export [json] [FILE] · /delete · /model NAME
another story:  /world NAME [LANGUAGE] · /stories · /open NUMBER"""
RETELLINGS: dict[str, Retelling] = {
    "/retry": "retry",
    "/edit": "edit",
    "/continue": "continue",
    "/notfaq": "not_faq",
}
LEAVE = ("/quit", "quit", "exit")
GONE = (NotConnected, websockets.ConnectionClosed)
ENDINGS = {"markdown": "md", "json": "json"}


class Chat:
    """The stories of one evening: shows frames, sends what is typed."""

    def __init__(
        self, url: str, console: Console, admission: Admission | None = None, **wishes: str | None
    ) -> None:
        self.screen = Screen(console)
        self.story = Story()
        self._url = url
        self._admission = admission
        self._wishes = wishes
        self._client = Client(url, self.story, admission, **wishes)
        self._shelf: dict[str, tuple[str, str]] = {}  # session id -> resume key, name
        self._export_to: Path | None = None
        self._met = asyncio.Event()  # the house has been reached, at least once

    async def talk(self) -> None:
        """Stays on the line until the story is elsewhere or deleted. Raises OSError and websockets' errors
        if the house can't be reached at first; later it tries again for ever."""
        met = False
        waits = iter(WAITS_S)
        while not (self.story.superseded or self.story.deleted):
            story = self.story
            self._client = Client(self._url, story, self._admission, **self._wishes)
            heard = False
            try:
                async for frame in self._line():
                    heard = met = True
                    await self.heard(frame)
            except NotAdmitted as refusal:
                if not (met and refusal.again):
                    raise
            except (OSError, websockets.InvalidHandshake):
                if not met:
                    raise
            if story is self.story and not (story.superseded or story.deleted):
                waits = iter(WAITS_S) if heard else waits
                self.screen.note("The line went dead; trying again.")
                await asyncio.sleep(next(waits, WAITS_S[-1]))

    async def _line(self) -> AsyncIterator[ServerFrame]:
        """The frames of one connection, until it ends."""
        async with self._client as client:
            keeping = asyncio.ensure_future(self._keep())
            try:
                with suppress(websockets.ConnectionClosed):
                    await client.hello()
                    self._met.set()
                    async for frame in client.frames():
                        yield frame
                        if client.story.superseded or client.story.deleted:
                            return
            finally:
                keeping.cancel()

    async def heard(self, frame: ServerFrame) -> None:
        if isinstance(frame, SessionReady):
            self._shelf[frame.session_id] = (self.story.resume_key, frame.title or frame.world)
        self.screen.show(frame, self.story)
        if isinstance(frame, SessionExport) and self.story.exported is not None and self._export_to:
            self._export_to.write_text(self.story.exported, encoding="utf-8")
            self.screen.note(f"Written to {self._export_to}")
        if isinstance(frame, PrologueLine):
            await asyncio.sleep(frame.pause_ms / 1000)  # the client paces the lines

    async def type(self, line: str) -> bool:
        """Sends what was typed; False if the listener leaves."""
        command, _, rest = line.strip().partition(" ")
        if command in LEAVE:
            return False
        try:
            if command.startswith("/"):
                await self._command(command, rest.strip())
            elif command:
                await self._words(line.strip())
        except TooLong as error:
            self.screen.complain(str(error))
        except GONE:
            self.screen.note("The line is dead just now.")
        return True

    async def _command(self, command: str, rest: str) -> None:
        send, story = self._client.send, self.story
        match command:
            case "/skip" | "/wake" | "/delete":
                await send({"action": command[1:]})
            case "/stop":
                await self.stop()
            case "/retry" | "/edit" | "/continue" | "/notfaq":
                frame = story.retell(RETELLINGS[command], rest if command == "/edit" else None)
                await send(frame) if frame else self.screen.note("There is no finished turn: /stop first?")
            case "/undo":
                frame = story.undo()
                await send(frame) if frame else self.screen.note("There is no turn.")
            case "/model" if not rest:
                self.screen.note(f"/model NAME: {', '.join(story.models)}")
            case "/model":
                await send({"action": "model", "name": rest})
            case "/world" if not rest:
                worlds = (f"{view.name} {view.language}" for view in story.worlds)
                self.screen.note(f"/world NAME [LANGUAGE]: {', '.join(worlds)}")
            case "/world":
                # On a line of its own: frames of the old story that are still on their way name no session.
                world, _, language = rest.partition(" ")
                known = {name for one in story.worlds for name in ((one.name, one.language), (one.name, ""))}
                if known and (world, language) not in known:
                    self.screen.note(f"There is no world {rest!r} here: /world lists them.")
                    return
                line = self._client.socket
                self._wishes |= {"world": world, "language": language or None}
                self.story = Story()
                await line.close()
            case "/rename":
                await send({"action": "rename", "title": rest})
            case "/export":
                await self._export(rest)
            case "/stories":
                for number, (session_id, (_, name)) in enumerate(self._shelf.items(), 1):
                    here = " (here)" if session_id == story.session_id else ""
                    self.screen.note(f"{number}  {name}{here}")
            case "/open" if rest.isdecimal() and 0 < int(rest) <= len(self._shelf):
                session_id, (key, _) = list(self._shelf.items())[int(rest) - 1]
                line = self._client.socket
                self.story = Story(session_id=session_id, resume_key=key)
                await line.close()  # `talk` comes back with the other one
            case _:
                self.screen.note(HELP)

    async def _words(self, text: str) -> None:
        question = self.story.question
        answer = {"action": "answer", "question_id": question.id} if question else {}
        if question and text.isdecimal() and 0 < int(text) <= len(question.choices):
            await self._client.send(answer | {"choice": question.choices[int(text) - 1].id})
        elif question and question.free_text and not text.endswith("?"):
            await self._client.send(answer | {"text": text})
        else:
            await self._client.say(text)

    async def _export(self, rest: str) -> None:
        kind, _, name = rest.partition(" ") if rest.split(" ")[0] in ENDINGS else ("markdown", "", rest)
        self._export_to = Path(name or f"story.{ENDINGS[kind]}")
        await self._client.send({"action": "export", "format": kind})

    async def _keep(self) -> None:
        with suppress(websockets.ConnectionClosed):  # whoever listens on this line knows it too
            await self._client.keep()

    async def stop(self) -> bool:
        """Stops the open reply where it is on the screen; False if there is none."""
        frame = self.story.stop()
        if frame is not None:
            with suppress(*GONE):  # sent again after the next snapshot
                await self._client.send(frame)
        return frame is not None

    async def read(self, lines: asyncio.Queue[str | None]) -> None:
        while (line := await lines.get()) is not None:
            if line.strip() not in LEAVE:
                await self._met.wait()  # who types early is heard all the same
            if not await self.type(line):
                return

    async def heed(self, interrupts: asyncio.Queue[None]) -> None:
        """Ctrl+C stops the open reply; without one, or asked again while it still goes on, it leaves."""
        asked: tuple[str, int] | None = None
        while True:
            await interrupts.get()
            turn = self.story.open_turn
            if turn is None or (turn.turn_id, turn.version) == asked:
                return
            asked = (turn.turn_id, turn.version)
            await self.stop()


def _keyboard(loop: asyncio.AbstractEventLoop) -> asyncio.Queue[str | None]:
    """Lines of standard input, None at its end. A thread reads them: whatever input is, it can be read so."""
    lines: asyncio.Queue[str | None] = asyncio.Queue()

    def read() -> None:
        for line in sys.stdin:
            loop.call_soon_threadsafe(lines.put_nowait, line)
        loop.call_soon_threadsafe(lines.put_nowait, None)

    threading.Thread(target=read, name="keyboard", daemon=True).start()
    return lines


async def _evening(url: str, admission: Admission, **wishes: str | None) -> None:
    """Talks until the listener leaves or the story is gone."""
    url, admission = await find_house(url, admission)
    console = Console(highlight=False, soft_wrap=True, emoji=False)
    chat = Chat(url, console, admission, **wishes)
    loop = asyncio.get_running_loop()
    interrupts: asyncio.Queue[None] = asyncio.Queue()
    loop.add_signal_handler(signal.SIGINT, interrupts.put_nowait, None)
    chat.screen.note(HELP)
    jobs = [
        asyncio.ensure_future(job) for job in (chat.talk(), chat.read(_keyboard(loop)), chat.heed(interrupts))
    ]
    done, rest = await asyncio.wait(jobs, return_when=asyncio.FIRST_COMPLETED)
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)
    for task in done:
        task.result()


def main(
    url: Annotated[str, typer.Argument(help="The WebSocket's address, or that of the page.")] = URL,
    world: Annotated[str | None, typer.Option(help="The world to play in.")] = None,
    language: Annotated[str | None, typer.Option(help="Its language, such as en or de.")] = None,
    model: Annotated[str | None, typer.Option(help="The model that tells the story.")] = None,
    code: Annotated[str | None, typer.Option(help="The access code.", envvar="CURTAIN_CODE")] = None,
    token: Annotated[str | None, typer.Option(help="A JSON Web Token.", envvar="CURTAIN_TOKEN")] = None,
    ticket_url: Annotated[
        str | None, typer.Option(help="Where tickets are given; the page's address tells by itself.")
    ] = None,
    iam: Annotated[bool, typer.Option(help="Sign with AWS credentials.")] = False,
) -> None:
    """A story in the terminal."""
    admission = Admission(code=code, token=token, ticket_url=ticket_url, iam=iam)
    try:
        asyncio.run(_evening(url, admission, world=world, language=language, model=model))
    except NotAdmitted as refusal:
        print(f"curtain: {refusal}", file=sys.stderr)
        raise SystemExit(1) from None
    except (OSError, UnicodeError, websockets.InvalidHandshake, websockets.InvalidURI) as error:
        shut = isinstance(error, websockets.InvalidStatus) and error.response.status_code in (401, 403)
        away = (
            "is `make run` running?" if url.startswith("ws://") else "is that what the deploy calls PageUrl?"
        )
        hint = "name the page's address, and --code or --token" if shut else away
        print(f"curtain: cannot reach {url}: {error}; {hint}", file=sys.stderr)
        raise SystemExit(1) from None


if __name__ == "__main__":
    typer.run(main)
