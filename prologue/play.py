"""A world's prologue in a terminal: the real dialogue and a real clock, and a model that pretends to load."""

import queue
import sys
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from prologue import dialogue
from session.errors import Refusal
from session.events import PrologueDone, PrologueEntry, PrologueFragment, PrologueLine, PrologueQuestion
from session.limits import limits

if TYPE_CHECKING:
    from prologue.schema import World

TICK_S = 0.1
HELP = "a number or your own words answer · Enter hurries · /skip · /skip all · /pause · /wake · /quit"


@dataclass
class Start:
    """A model's start that is only imagined. `failures`: so many fail first, each after half of its time."""

    seconds: float
    failures: int = 0
    began: float | None = None

    def share(self, now: float) -> float:
        return 0.0 if self.began is None else min(1.0, (now - self.began) / self.seconds)

    def left(self, now: float) -> float | None:
        return None if self.began is None else max(0.0, self.seconds - (now - self.began))


class Left(Exception):
    """The listener leaves."""


class Play:
    """One listener at the keyboard. `run` returns when the curtain has risen, or when the listener leaves."""

    def __init__(self, world: "World", start: Start) -> None:
        self._world = world
        self._start = start
        self._state = dialogue.DialogueState()
        self._told = 0
        self._failed = False
        self._typing = True
        self._console = Console(highlight=False, soft_wrap=True, emoji=False)
        self._lines: queue.Queue[str | None] = queue.Queue()

    def run(self) -> None:
        threading.Thread(target=self._read, name="keyboard", daemon=True).start()
        self._say(f"[bold]{escape(self._world.title)}[/]\n[dim]{escape(self._world.tagline)}\n{HELP}[/]")
        try:
            self._tell(dialogue.begin(self._world))
            opened = time.monotonic()
            while not self._risen():
                self._listen(TICK_S)
                now = time.monotonic()
                stayed = now - opened >= limits().wake_after_s
                if self._start.began is None and not self._failed and (stayed or self._interacted()):
                    self._start.began = now
                self._load(now)
        except (Left, KeyboardInterrupt):
            return
        self._say("\n[dim]What the model is told, before the first scene:[/]")
        self._console.print(self._world.render_system(self._state.facts()), markup=False)
        self._console.print(self._world.opening_prompt, markup=False, style="dim")

    def _interacted(self) -> bool:
        return bool(self._state.answers) or self._world.wake == "hello"

    def _risen(self) -> bool:
        return any(ref in ("cue:ready", "cue:ready_early") for ref in self._state.log)

    def _load(self, now: float) -> None:
        """What the model function would report at this moment."""
        share, left = self._start.share(now), self._start.left(now)
        if left is None:
            return
        if self._start.failures and share >= 0.5:
            self._start.failures -= 1
            self._start.began, self._failed = None, True
            self._tell(dialogue.cue(self._state, "failed"))
            self._say("[dim]/wake tries again[/]")
        elif left > 0:
            self._tell(dialogue.progress(self._state, self._world, share, now, left))
        elif self._state.finished:
            waited = self._state.count("fragment") > 0
            self._tell(dialogue.cue(self._state, "ready" if waited else "ready_early"))

    def _read(self) -> None:
        for line in sys.stdin:
            self._lines.put(line.strip())
        self._lines.put(None)

    def _listen(self, seconds: float) -> None:
        """Waits so long for a line, and does what it says. Raises Left, also if the play can't go on."""
        if not self._typing and (self._failed or not self._state.finished):
            raise Left
        try:
            line = self._lines.get(timeout=seconds)
        except queue.Empty:
            return
        if line is None:
            self._typing = False
            return
        if line == "/quit":
            raise Left
        try:
            self._heed(line)
        except Refusal as refusal:
            self._say(f"[red]{escape(refusal.message)}[/] [dim]{escape(refusal.hint)}[/]")

    def _heed(self, line: str) -> None:
        question = dialogue.open_question(self._state, self._world)
        match line:
            case "":
                pass
            case "/pause":
                paused = not self._state.paused
                self._state = self._state.model_copy(update={"paused": paused})
                self._say(f"[dim]{'held; /pause again goes on' if paused else 'going on'}[/]")
            case "/wake" if self._failed:
                self._failed, self._start.began = False, time.monotonic()
                self._tell(dialogue.cue(self._state, "retrying"))
            case "/wake":
                self._start.began = self._start.began or time.monotonic()
            case "/skip all":
                self._tell(dialogue.skip(self._state, self._world, None))
            case "/skip" if question:
                self._tell(dialogue.skip(self._state, self._world, question.id))
            case number if question and number.isdecimal() and 0 < int(number) <= len(question.choices):
                choice = question.choices[int(number) - 1].id
                self._tell(dialogue.answer(self._state, self._world, question.id, choice=choice, text=None))
            case text if question and not text.startswith("/"):
                self._tell(dialogue.answer(self._state, self._world, question.id, choice=None, text=text))
            case _:
                self._say(f"[dim]{HELP}[/]")

    def _tell(self, state: dialogue.DialogueState) -> None:
        """Takes the new state and shows what it added, with the pauses that the world asks for."""
        self._state = state
        new = dialogue.entries(state, self._world, self._told)
        self._told = len(state.log)
        for entry in new:
            self._show(entry)
            if isinstance(entry, PrologueLine):
                self._pause(entry.pause_ms / 1000)

    def _pause(self, seconds: float) -> None:
        """Is quiet for so long, or until the next line is typed; that one is heeded afterwards."""
        until = time.monotonic() + seconds
        while self._lines.empty() and time.monotonic() < until:
            time.sleep(TICK_S / 4)

    def _show(self, entry: PrologueEntry) -> None:
        match entry:
            case PrologueLine():
                self._say(f"\n[bold green]{self._name(entry.speaker)}[/]  {escape(entry.text)}")
            case PrologueQuestion():
                self._say(f"\n[bold green]{self._name(entry.speaker)}[/]  {escape(entry.text)}")
                for number, choice in enumerate(entry.choices, 1):
                    self._say(f"  [green]{number}[/] {escape(choice.label)}")
                if entry.free_text:
                    self._say(f"  [dim]{escape(entry.placeholder)}[/]")
            case PrologueFragment():
                who = f"{self._name(entry.speaker)}: " if entry.speaker else ""
                self._say(f"[dim italic]{entry.progress:4.0%}  {who}{escape(entry.text)}[/]")
            case PrologueDone():
                pass

    def _name(self, speaker: str) -> str:
        return escape(self._world.speakers.get(speaker, speaker))

    def _say(self, text: str) -> None:
        self._console.print(text)
