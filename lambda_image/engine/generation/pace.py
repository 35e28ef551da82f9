"""How many prompt tokens to compute between two looks at the clock, from how fast they were so far."""

SECONDS = 0.5  # that a chunk should take: a wish to stop is seen within a second even where the guess is off
# Native kernels read each weight once per chunk: a smaller one than this takes hardly less time, and one
# larger than `LARGEST` hardly less per token.
SMALLEST = 8
LARGEST = 64
RECENT = 0.5  # weight of the newest measurement: the first of an environment includes reading the weights


class Pace:
    """The measured prefill rate, kept from reply to reply.

    Native results don't depend on how a prompt is cut into chunks, so a measurement may decide it. `guess`
    (tokens/s) sizes the first chunk.
    """

    def __init__(self, guess: float | None = None) -> None:
        self._rate: float | None = None
        self._guess = guess

    @property
    def rate(self) -> float | None:
        """Prompt tokens per second; None before the first measurement."""
        return self._rate

    def chunk(self) -> int:
        """Tokens for the next chunk, SMALLEST to LARGEST; SMALLEST where nothing is known."""
        rate = self._rate or self._guess or 0.0
        return int(min(max(rate * SECONDS, SMALLEST), LARGEST))

    def add(self, tokens: int, seconds: float) -> None:
        """Notes that a chunk took so long. One shorter than SMALLEST tells little, and is left out."""
        if tokens < SMALLEST or seconds <= 0:
            return
        measured = tokens / seconds
        self._rate = measured if self._rate is None else self._rate + RECENT * (measured - self._rate)
