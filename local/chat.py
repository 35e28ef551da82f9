"""`python -m local.chat [URL]`: a story in the terminal. Ctrl+C stops the reply, a second one leaves."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator
from typing import Annotated

import typer
import websockets
from rich.console import Console

from local.client import Client, TooLong
from local.story import Story
from session.events import (
    ErrorFrame,
    ModelStatus,
    PrologueFragment,
    PrologueLine,
    PrologueQuestion,
    ServerFrame,
    SessionSnapshot,
    SessionSuperseded,
    TurnDelta,
    TurnDone,
    TurnStarted,
    TurnSuggestions,
)

URL = "ws://127.0.0.1:8000/prod"
HELP = "your words · a number answers · /skip · /stop · /wake · /quit"


class Chat:
    """The screen's side of one story; `ask` reads a line of the keyboard."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.story = Story()
        self._status = ""

    def show(self, frame: ServerFrame) -> None:
        out = self.console.print
        match frame:
            case PrologueLine():
                out(f"\n[bold green]{frame.speaker}[/]  {_plain(frame.text)}")
            case PrologueQuestion():
                out(f"\n[bold green]{frame.speaker}[/]  {_plain(frame.text)}")
                for number, choice in enumerate(frame.choices, 1):
                    out(f"  [green]{number}[/] {_plain(choice.label)}")
                if frame.free_text:
                    out(f"  [dim]or in your own words: {_plain(frame.placeholder)}[/]")
            case PrologueFragment():
                out(f"[dim italic]{frame.progress:4.0%}  {_plain(frame.text)}[/]")
            case ModelStatus():
                if frame.state != self._status:
                    out(f"[dim]model {frame.name}: {frame.state} {_plain(frame.message or '')}[/]")
                self._status = frame.state
            case TurnStarted():
                out(f"\n[dim]{'house' if frame.source == 'faq' else 'narrator'}:[/]")
            case TurnDelta():
                out(_plain(frame.text), end="")
            case TurnDone():
                out(f"\n[dim]{_footer(frame)}[/]")
            case TurnSuggestions():
                out(f"[dim]perhaps: {_plain(' · '.join(frame.suggestions))}[/]")
            case ErrorFrame():
                out(f"[red]{_plain(frame.message)}[/] [dim]{_plain(frame.hint)} ({frame.code})[/]")
            case SessionSuperseded():
                out("[yellow]This story went on elsewhere.[/]")
            case SessionSnapshot():
                for turn in frame.turns:
                    out(f"\n[bold]{_plain(turn.said)}[/]\n{_plain(turn.text)}")
            case _:
                pass

    async def type(self, client: Client, line: str) -> bool:
        """Sends what was typed; False if the listener leaves."""
        story, question = client.story, client.story.question
        match line.strip():
            case "":
                pass
            case "/quit" | "quit" | "exit":
                return False
            case "/skip":
                await client.send({"action": "skip"})
            case "/wake":
                await client.send({"action": "wake"})
            case "/stop":
                await self.stop(client)
            case "/help":
                self.console.print(HELP, style="dim")
            case number if question and number.isdigit() and 0 < int(number) <= len(question.choices):
                choice = question.choices[int(number) - 1].id
                await client.send({"action": "answer", "question_id": question.id, "choice": choice})
            case text if question and question.free_text and not text.endswith("?"):
                await client.send({"action": "answer", "question_id": question.id, "text": text})
            case text:
                await client.say(text)
        self.story = story
        return True

    async def stop(self, client: Client) -> bool:
        """Stops the running reply; False if none runs."""
        turn = client.story.open_turn
        if turn is None:
            return False
        await client.send({"action": "stop", "turn_id": turn.turn_id})
        return True


def _plain(text: str) -> str:
    return text.replace("[", "\\[")  # rich reads markup in brackets


def _footer(done: TurnDone) -> str:
    parts = [done.status if done.status != "completed" else done.finish_reason]
    if done.metrics and done.usage:
        parts += [
            f"TTFT {done.metrics.ttft_s:.2f} s",
            f"{done.usage.completion_tokens} tokens",
            f"{done.metrics.decode_tokens_per_s:.1f} tokens/s",
            f"${done.metrics.cost_usd:.5f} on Lambda",
        ]
    return " · ".join(parts)


async def _lines() -> AsyncIterator[str]:
    """Lines of standard input, without a thread that would outlive the chat."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        yield line.decode("utf-8", "replace")


async def _talk(url: str) -> None:
    chat = Chat(Console(highlight=False, soft_wrap=True))
    chat.console.print(HELP, style="dim")
    async with Client(url) as client:
        await client.hello()
        leaving = asyncio.Event()

        def interrupted() -> None:
            if client.story.open_turn is None:
                leaving.set()
            else:
                background.add(asyncio.ensure_future(chat.stop(client)))
                loop.remove_signal_handler(signal.SIGINT)
                loop.add_signal_handler(signal.SIGINT, leaving.set)
                loop.call_later(3, lambda: loop.add_signal_handler(signal.SIGINT, interrupted))

        async def listen() -> None:
            async for frame in client.frames():
                chat.show(frame)

        async def read() -> None:
            async for line in _lines():
                try:
                    if not await chat.type(client, line):
                        return
                except TooLong as error:
                    chat.console.print(f"[red]{error}[/]")

        loop = asyncio.get_running_loop()
        background: set[asyncio.Future[bool]] = set()
        loop.add_signal_handler(signal.SIGINT, interrupted)
        tasks = [asyncio.ensure_future(job) for job in (listen(), read(), client.keep(), leaving.wait())]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, websockets.ConnectionClosed):
                await task


def main(url: Annotated[str, typer.Argument(help="The WebSocket's address.")] = URL) -> None:
    """A story in the terminal."""
    try:
        asyncio.run(_talk(url))
    except (OSError, websockets.InvalidHandshake, websockets.InvalidURI) as error:
        print(f"curtain: cannot reach {url}: {error}; is `make run` running?", file=sys.stderr)
        raise SystemExit(1) from None


if __name__ == "__main__":
    typer.run(main)
