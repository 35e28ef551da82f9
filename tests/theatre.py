"""One session and one environment of the model function, with a stand-in for the model."""

import time
from collections.abc import Callable, Iterator, Sequence

from lambda_image.engine.generation.reply import FinishReason, Piece, ReplyEnd, ReplyMetrics
from lambda_image.narrator import Message, Narrator
from lambda_image.service import ModelService
from lambda_image.waking import SleepingModel
from session.record import Session
from session.runner import Runner
from tests.fakes import Clock, MemoryStore, RecordingPoster, emerald_city

WORDS = ["The ", "gate ", "🦊 ", "opens", "."]


class Parrot:
    """Says the same words, and remembers what it was given to read."""

    def __init__(self, words: Sequence[str] = WORDS, delay: float = 0.0) -> None:
        self.words, self.delay = words, delay
        self.read: list[Sequence[Message]] = []
        self.said = 0
        self.before: Callable[[int], None] = lambda index: None
        self.ending: FinishReason = "stop"

    def reply(
        self, messages: Sequence[Message], *, max_tokens: int, seed: int, should_stop: Callable[[], bool]
    ) -> Iterator[Piece]:
        self.read.append(messages)
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
        )
        yield Piece("", ReplyEnd("cancelled" if reason == "cancelled" else self.ending, metrics))

    def about(self) -> dict[str, object]:
        return {"kernels": "native/parrot"}


class Weights:
    loaded_bytes = 50
    total_bytes = 100


class Theatre:
    """One session and one environment of the model function, side by side."""

    def __init__(self, narrator: Parrot | None = None, load: Callable[[], Narrator] | None = None) -> None:
        self.clock, self.store, self.poster = Clock(), MemoryStore(), RecordingPoster()
        self.invoked: list[int] = []
        self.runner = Runner(
            store=self.store,
            poster=self.poster,
            worlds=lambda _: emerald_city(),
            clock=self.clock,
            invoke=lambda _, epoch: self.invoked.append(epoch),
        )
        self.narrator = narrator or Parrot()
        model = SleepingModel(load or (lambda: self.narrator), Weights(), time.monotonic())
        self.service = ModelService(self.runner, model)
        self.runner.start(
            Session(
                session_id="s",
                resume_hash="",
                world="emerald-city",
                model_name="demo",
                created=0.0,
                expires=9_999_999_999,
                connection_id="c",
                connected_at=self.clock.now,
            ),
            "key",
        )

    def serve(self, epoch: int | None = None, holder: str = "r", seconds: float = 900.0) -> str:
        result = self.service.serve(
            "s",
            epoch or self.invoked[-1],
            holder=holder,
            deadline=time.monotonic() + seconds,
            memory_mb=10_240,
        )
        return str(result["left"])

    def posted(self, kind: type) -> list[object]:
        return [frame for _, frame in self.poster.posted if isinstance(frame, kind)]

    @property
    def session(self) -> Session:
        return self.store.heads["s"]
