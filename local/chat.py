"""`python -m local.chat [URL]`: a story in the terminal. Ctrl+C stops the reply, a second one leaves."""

import asyncio
import signal
import sys
import threading
from typing import Annotated

import typer
import websockets
from rich.console import Console
from rich.markup import escape

from local.client import Client, TooLong
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
    """One story on the screen: shows frames, sends what is typed."""

    def __init__(self, client: Client, console: Console) -> None:
        self.client = client
        self.console = console
        self._model_state = ""

    def show(self, frame: ServerFrame) -> None:
        match frame:
            case PrologueLine():
                self._out(f"\n[bold green]{escape(frame.speaker)}[/]  {escape(frame.text)}")
            case PrologueQuestion():
                self._out(f"\n[bold green]{escape(frame.speaker)}[/]  {escape(frame.text)}")
                for number, choice in enumerate(frame.choices, 1):
                    self._out(f"  [green]{number}[/] {escape(choice.label)}")
                if frame.free_text:
                    self._out(f"  [dim]{escape(frame.placeholder)}[/]")
            case PrologueFragment():
                self._out(f"[dim italic]{frame.progress:4.0%}  {escape(frame.text)}[/]")
            case ModelStatus():
                if frame.state != self._model_state:
                    self._out(f"[dim]model {frame.name}: {frame.state} {escape(frame.message or '')}[/]")
                self._model_state = frame.state
            case TurnStarted():
                self._out(f"\n[dim]{'the house' if frame.source == 'faq' else 'the narrator'}:[/]")
            case TurnDelta():
                self.console.print(frame.text, end="", markup=False)
            case TurnDone():
                self._out(f"\n[dim]{_footer(frame)}[/]")
            case TurnSuggestions():
                self._out(f"[dim]perhaps: {escape(' · '.join(frame.suggestions))}[/]")
            case ErrorFrame():
                self._out(f"[red]{escape(frame.message)}[/] [dim]{escape(frame.hint)} ({frame.code})[/]")
            case SessionSuperseded():
                self._out("[yellow]This story went on elsewhere.[/]")
            case SessionSnapshot():
                for turn in frame.turns:
                    self._out(f"\n[bold]{escape(turn.said)}[/]\n{escape(turn.text)}")
            case _:
                pass

    async def type(self, line: str) -> bool:
        """Sends what was typed; False if the listener leaves."""
        client, question = self.client, self.client.story.question
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
                await self.stop()
            case "/help":
                self._out(f"[dim]{HELP}[/]")
            case number if question and number.isdecimal() and 0 < int(number) <= len(question.choices):
                choice = question.choices[int(number) - 1].id
                await client.send({"action": "answer", "question_id": question.id, "choice": choice})
            case text if question and question.free_text and not text.endswith("?"):
                await client.send({"action": "answer", "question_id": question.id, "text": text})
            case text:
                await client.say(text)
        return True

    async def stop(self) -> bool:
        """Stops the open reply; False if there is none."""
        turn = self.client.story.open_turn
        if turn is not None:
            await self.client.send({"action": "stop", "turn_id": turn.turn_id})
        return turn is not None

    async def listen(self) -> None:
        async for frame in self.client.frames():
            self.show(frame)
            if isinstance(frame, PrologueLine):
                await asyncio.sleep(frame.pause_ms / 1000)  # the client paces the lines

    async def read(self, lines: asyncio.Queue[str | None]) -> None:
        while (line := await lines.get()) is not None:
            try:
                if not await self.type(line):
                    return
            except TooLong as error:
                self._out(f"[red]{error}[/]")

    async def heed(self, interrupts: asyncio.Queue[None]) -> None:
        """Ctrl+C stops the open reply; without one, or asked again while it still goes on, it leaves."""
        asked: str | None = None
        while True:
            await interrupts.get()
            turn = self.client.story.open_turn
            if turn is None or turn.turn_id == asked:
                return
            asked = turn.turn_id
            await self.stop()

    def _out(self, text: str) -> None:
        self.console.print(text)


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


def _keyboard(loop: asyncio.AbstractEventLoop) -> asyncio.Queue[str | None]:
    """Lines of standard input, None at its end. A thread reads them: whatever input is, it can be read so."""
    lines: asyncio.Queue[str | None] = asyncio.Queue()

    def read() -> None:
        for line in sys.stdin:
            loop.call_soon_threadsafe(lines.put_nowait, line)
        loop.call_soon_threadsafe(lines.put_nowait, None)

    threading.Thread(target=read, name="keyboard", daemon=True).start()
    return lines


async def _talk(url: str) -> bool:
    """Talks until the listener leaves; False if the server ended it."""
    loop = asyncio.get_running_loop()
    interrupts: asyncio.Queue[None] = asyncio.Queue()
    loop.add_signal_handler(signal.SIGINT, interrupts.put_nowait, None)
    async with Client(url) as client:
        chat = Chat(client, Console(highlight=False, soft_wrap=True, emoji=False))
        chat.console.print(HELP, style="dim")
        await client.hello()
        listening = asyncio.ensure_future(chat.listen())
        leaving = [
            asyncio.ensure_future(job)
            for job in (chat.read(_keyboard(loop)), chat.heed(interrupts), client.keep())
        ]
        done, rest = await asyncio.wait((listening, *leaving), return_when=asyncio.FIRST_COMPLETED)
        for task in rest:
            task.cancel()
        await asyncio.gather(*done, *rest, return_exceptions=True)
        return listening not in done


def main(url: Annotated[str, typer.Argument(help="The WebSocket's address.")] = URL) -> None:
    """A story in the terminal."""
    try:
        left = asyncio.run(_talk(url))
    except (OSError, websockets.InvalidHandshake, websockets.InvalidURI) as error:
        print(f"curtain: cannot reach {url}: {error}; is `make run` running?", file=sys.stderr)
        raise SystemExit(1) from None
    if not left:
        print("curtain: the house closed the line; run it again to begin anew", file=sys.stderr)
        raise SystemExit(1)


if __name__ == "__main__":
    typer.run(main)
