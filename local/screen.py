"""What the terminal shows of a story: every word once, however often its frames come."""

from rich.console import Console
from rich.markup import escape

from local.story import Story
from local.turns import TurnView
from session.events import (
    ErrorFrame,
    ModelStatus,
    PrologueFragment,
    PrologueLine,
    PrologueQuestion,
    Queue,
    ServerFrame,
    SessionDeleted,
    SessionList,
    SessionReady,
    SessionRenamed,
    SessionSnapshot,
    SessionSuperseded,
    TurnDelta,
    TurnDone,
    TurnRemoved,
    TurnStarted,
    TurnSuggestions,
)


class Screen:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._model_state = ""
        self._told: dict[tuple[str, int], int] = {}  # (turn, version) -> code points on the screen
        self._over: set[tuple[str, int]] = set()  # those whose last line is there too
        self._session = ""

    def note(self, text: str) -> None:
        """A line about the story, not of it. Plain text."""
        self._out(f"[dim]{escape(text)}[/]")

    def complain(self, text: str) -> None:
        self._out(f"[red]{escape(text)}[/]")

    def show(self, frame: ServerFrame, story: Story) -> None:
        """Shows a frame that `story` has taken in."""
        match frame:
            case SessionReady():
                self._ready(frame)
            case PrologueLine():
                self._out(f"\n[bold green]{escape(frame.speaker)}[/]  {escape(frame.text)}")
            case PrologueQuestion():
                self._ask(frame)
            case PrologueFragment():
                self._out(f"[dim italic]{frame.progress:4.0%}  {escape(frame.text)}[/]")
            case ModelStatus():
                if frame.state != self._model_state:
                    self.note(f"model {frame.name}: {frame.state} {frame.message or ''}{_about(frame.eta_s)}")
                self._model_state = frame.state
            case Queue():
                self.note(f"The house is full: place {frame.place}{_about(frame.eta_s)}")
            case TurnStarted() | TurnDelta() | TurnDone():
                self._turn(story.turns.get(frame.turn_id))
            case TurnSuggestions():
                self.note(f"perhaps: {' · '.join(frame.suggestions)}")
            case TurnRemoved():
                self.note("That turn is undone.")
            case ErrorFrame():
                self._out(f"[red]{escape(frame.message)}[/] [dim]{escape(frame.hint)} ({frame.code})[/]")
            case SessionSuperseded():
                self._out("[yellow]This story went on elsewhere.[/]")
            case SessionDeleted():
                self._out("[yellow]This story is deleted: nothing of it is left.[/]")
            case SessionRenamed():
                self.note(f"This story is now called {frame.title}")
            case SessionList():
                for view in frame.sessions:
                    self.note(f"{view.title or view.world} ({view.session_id})")
            case SessionSnapshot():
                for turn in story.turns.values():
                    self._turn(turn)
                if story.question is not None and story.held is None:
                    self._ask(story.question)
            case _:
                pass

    def _ready(self, frame: SessionReady) -> None:
        if frame.session_id == self._session:
            return  # the line came back: the screen has it all
        self._session = frame.session_id
        self._told.clear()
        self._over.clear()
        self._model_state = ""
        self.note(f"{frame.title or frame.world} · {frame.language} · {frame.model}")

    def _ask(self, question: PrologueQuestion) -> None:
        self._out(f"\n[bold green]{escape(question.speaker)}[/]  {escape(question.text)}")
        for number, choice in enumerate(question.choices, 1):
            self._out(f"  [green]{number}[/] {escape(choice.label)}")
        if question.free_text:
            self.note(f"  {question.placeholder}")

    def _turn(self, turn: TurnView | None) -> None:
        """Whatever of the turn's newest version is not on the screen yet."""
        if turn is None or turn.status in ("sending", "waiting"):
            return
        key = (turn.turn_id, turn.version)
        if key not in self._told:
            self._told[key] = 0
            who = "the house" if turn.source == "faq" else "the narrator"
            version = f", version {turn.version}" if turn.version > 1 else ""
            self._out(f"\n[bold]{escape(turn.said)}[/]\n[dim]{who}{version}:[/]")
        self._console.print(turn.shown[self._told[key] :], end="", markup=False)
        self._told[key] = max(self._told[key], len(turn.shown))
        if turn.over and key not in self._over:
            self._over.add(key)
            self._out(f"\n[dim]{_footer(turn)}[/]")

    def _out(self, text: str) -> None:
        self._console.print(text)


def _about(seconds: float | None) -> str:
    return "" if seconds is None else f", about {max(1, round(seconds))} s"


def _footer(turn: TurnView) -> str:
    done = turn.done
    if done is None:
        return turn.status
    parts = [done.status if done.status != "completed" else done.finish_reason]
    if done.metrics and done.usage:
        parts += [
            f"TTFT {done.metrics.ttft_s:.2f} s",
            f"{done.usage.completion_tokens} tokens",
            f"{done.metrics.decode_tokens_per_s:.1f} tokens/s",
            f"${done.metrics.cost_usd:.5f} on Lambda",
        ]
    if done.saved:
        saved = done.saved
        parts.append(f"saved {saved.seconds:.1f} s, ${saved.cost_usd:.5f}, {saved.energy_wh:.3f} Wh")
    return " · ".join(parts)
