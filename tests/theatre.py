"""One session and one environment of the model function, with a stand-in for the model."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, TypeVar

from lambda_image import direct
from lambda_image.engine.generation.reply import FinishReason, Piece, ReplyEnd, ReplyMetrics
from lambda_image.narrator import Message, Narrator
from lambda_image.service import ModelService
from lambda_image.tasks import Threads
from lambda_image.waking import SleepingModel
from session.events import Frame, TurnDelta
from session.inputs import Retold, Said
from session.record import Session
from session.runner import Runner
from tests.fakes import Clock, MemoryStore, RecordingPoster, emerald_city

F = TypeVar("F", bound=Frame)
WORDS = ["The ", "gate ", "🦊 ", "opens", "."]


class Parrot:
    """Says the same words, and remembers what it was given to read."""

    def __init__(
        self, words: Sequence[str] = WORDS, delay: float = 0.0, tokens_per_s: float | None = None
    ) -> None:
        self.words, self.delay, self.tokens_per_s = words, delay, tokens_per_s
        self.read: list[Sequence[Message]] = []
        self.continued: list[str] = []
        self.said = 0
        self.before: Callable[[int], None] = lambda index: None
        self.ending: FinishReason = "stop"

    def reply(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int,
        seed: int,
        should_stop: Callable[[], bool],
        continued: str = "",
    ) -> Iterator[Piece]:
        self.read.append(messages)
        self.continued.append(continued)
        reason = "stop"
        for index, word in enumerate(self.words):
            self.before(index)
            time.sleep(self.delay)
            if should_stop():
                reason = "cancelled"
                break
            self.said += 1
            yield Piece(word)
        metrics = ReplyMetrics(
            prompt_tokens=9,
            dropped_turns=1,
            budget_dropped_turns=2,
            kv_lost_tokens=4,
            completion_tokens=self.said,
            prefill_s=0.1,
            decode_s=(self.said - 1) / self.tokens_per_s if self.tokens_per_s else 0.0,
        )
        yield Piece("", ReplyEnd("cancelled" if reason == "cancelled" else self.ending, metrics))

    def about(self) -> dict[str, object]:
        return {"kernels": "native/parrot"}


class Weights:
    loaded_bytes = 50
    total_bytes = 100
    seconds = 0.5


class Theatre:
    """One session and one environment of the model function, side by side."""

    def __init__(self, narrator: Parrot | None = None, load: Callable[[], Narrator] | None = None) -> None:
        self.clock, self.store, self.poster = Clock(), MemoryStore(), RecordingPoster()
        self.invoked: list[int] = []
        self.runner = Runner(
            store=self.store,
            poster=self.poster,
            worlds=lambda name, language: emerald_city(),
            clock=self.clock,
            models=("demo",),
            environments=1,
            invoke=lambda _, epoch: self.invoked.append(epoch),
        )
        self.narrator = narrator or Parrot()
        self.tasks = Threads()
        self.model = SleepingModel(
            load or (lambda: self.narrator), Weights(), time.monotonic(), tasks=self.tasks
        )
        self.service = ModelService(self.runner, self.model, tasks=self.tasks)
        self.enter("s", "c")

    def about(self) -> dict[str, object]:
        return direct.about(self.model)

    def enter(self, session_id: str, connection_id: str) -> None:
        """Another listener comes."""
        self.runner.start(
            Session(
                session_id=session_id,
                resume_hash="",
                world="emerald-city",
                model_name="demo",
                created=0.0,
                expires=9_999_999_999,
                connection_id=connection_id,
                connected_at=self.clock.now,
            ),
            "key",
        )

    def invoke(
        self, epoch: int | None = None, holder: str = "r", seconds: float = 900.0
    ) -> dict[str, object]:
        """The model function's invocation for the last epoch, or for this one."""
        return self.service.serve(
            "s",
            epoch or self.invoked[-1],
            holder=holder,
            deadline=time.monotonic() + seconds,
            memory_mb=10_240,
        )

    def serve(self, epoch: int | None = None, holder: str = "r", seconds: float = 900.0) -> str:
        return str(self.invoke(epoch, holder, seconds)["left"])

    def retell(self, kind: Literal["retry", "continue"]) -> None:
        """What the light function makes of the frame about the last turn."""
        last = self.session.last
        assert last is not None
        turn = next(t for t in self.store.turns("s") if (t.number, t.version) == (last.number, last.version))
        event = Retold(kind=kind, turn_id=last.turn_id, version=last.version, seed=1, turn=turn)
        self.runner.apply("s", event)

    def say(self, turn_id: str, text: str = "I knock.") -> None:
        self.runner.apply("s", Said(turn_id=turn_id, text=text, seed=1))

    def on_post(self, kind: type[Frame], act: Callable[[], None]) -> None:
        """Calls `act` once, as soon as such a frame was posted."""
        post = self.poster.post

        def watched(connection_id: str, frame: Frame) -> None:
            post(connection_id, frame)
            if isinstance(frame, kind):
                self.poster.post = post  # type: ignore[method-assign]
                act()

        self.poster.post = watched  # type: ignore[method-assign]

    def posted(self, kind: type[F], to: str = "c") -> list[F]:
        return [frame for found, frame in self.poster.posted if isinstance(frame, kind) and found == to]

    def spliced(self, turn_id: str = "opening", version: int = 1) -> str:
        """The turn's text as a client puts it together; fails where something is missing."""
        text = ""
        for delta in self.posted(TurnDelta):
            if (delta.turn_id, delta.version) == (turn_id, version):
                assert delta.offset <= len(text)
                text += delta.text[len(text) - delta.offset :]
        return text

    @property
    def session(self) -> Session:
        return self.store.heads["s"]
