"""A model that says numbered words, so that a lost, a repeated and a misplaced one can be told apart."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from lambda_image.engine.generation.reply import Piece, ReplyEnd, ReplyMetrics
from lambda_image.narrator import Message
from tests.sim.chaos import Chaos
from tests.sim.clockwork import Host
from tests.sim.themes import Theme

if TYPE_CHECKING:
    from tests.sim.witness import Witness

Reads = Callable[[Host, Sequence[Message], str], None]  # the messages, and the beginning to go on from
ASTRAL = "🦊"  # one code point, two UTF-16 units


@dataclass(frozen=True)
class Pace:
    """Virtual seconds, and how long a reply may get."""

    load_s: float
    chunk_s: float
    token_s: float
    chunks: int
    words: int


def draw_pace(random: Random, theme: Theme) -> Pace:
    if theme.slow:
        return Pace(load_s=3.0, chunk_s=0.9, token_s=0.9, chunks=4, words=250)
    loads_s = theme.loads_s or (0.3, 0.9, 2.0, 6.0, 50.0 if random.random() < 0.2 else 3.0)
    return Pace(
        load_s=random.choice(loads_s),
        chunk_s=0.9 if theme.slow_prefill else random.choice((0.02, 0.3, 0.9)),
        token_s=random.choice((0.02, 0.08, 0.3)),
        chunks=6 if theme.slow_prefill else random.randrange(5),
        words=random.choice((3, 12, 40)),
    )


class Numbers:
    """The `Narrator` of one environment."""

    def __init__(self, host: Host, chaos: Chaos, witness: "Witness", pace: Pace, reads: Reads) -> None:
        self._host = host
        self._chaos = chaos
        self._witness = witness
        self._pace = pace
        self._reads = reads
        self._said = 0

    def reply(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int,
        seed: int,
        should_stop: Callable[[], bool],
        continued: str = "",
    ) -> Iterator[Piece]:
        random, pace = self._chaos.random, self._pace
        self._reads(self._host, messages, continued)
        words = min(max_tokens, 1 + random.randrange(pace.words))
        cancelled, said, decode_s = False, 0, 0.0
        for step in range(pace.chunks + words):
            if should_stop():
                cancelled = True
                break
            self._witness.computes(self._host)
            self._host.sleep(pace.chunk_s if step < pace.chunks else pace.token_s)
            decode_s += pace.token_s if step > pace.chunks else 0.0
            if self._chaos.hit("reply_breaks"):
                self._host.struck = True
                raise RuntimeError("the reply breaks (injected)")
            if step >= pace.chunks:
                said += 1
                self._said += 1
                yield Piece(f"{self._host.name}.{self._said}{ASTRAL} ")
        reason = random.choice(("stop", "stop", "length", "loop"))
        metrics = ReplyMetrics(prompt_tokens=9, dropped_turns=0, completion_tokens=said, decode_s=decode_s)
        yield Piece("", ReplyEnd("cancelled" if cancelled else reason, metrics))  # type: ignore[arg-type]

    def about(self) -> dict[str, object]:
        return {}


class Weights:
    """A `Reading` that takes as long as the load."""

    total_bytes = 1_000_000
    seconds = 0.0

    def __init__(self, host: Host, seconds: float) -> None:
        self._host = host
        self._began = host.monotonic()
        self._seconds = seconds

    @property
    def loaded_bytes(self) -> int:
        share = (self._host.monotonic() - self._began) / self._seconds
        return int(self.total_bytes * min(1.0, share))
