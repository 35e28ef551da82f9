"""What goes wrong in a schedule: each kind of fault with its own chance, drawn from the schedule's seed."""

from collections import Counter
from collections.abc import Mapping
from random import Random

# kind of fault: the highest chance, at each occasion, that a schedule may give it
KINDS = {
    # the way from a client to the light function
    "message_lost": 0.15,
    "message_twice": 0.2,
    "message_late": 0.2,
    # connections
    "cut": 0.08,  # per second; both ends know
    "half_open": 0.05,  # per second; neither end knows at once
    "disconnect_late": 0.5,
    "disconnect_lost": 0.5,
    # the way back
    "frame_late": 0.1,  # overtaken by frames of other hosts
    "post_429": 0.3,
    "post_500": 0.1,
    "post_500_yet_posted": 0.1,
    "post_slow": 0.1,
    # the table
    "throttled": 0.03,
    "answer_lost": 0.1,  # applied, and repeated by the client
    "answer_lost_for_good": 0.02,  # applied, and the caller is told that it failed
    "table_slow": 0.05,
    "delta_late": 0.01,  # a delta is on its way for about as long as its seat lives
    "table_down": 0.02,  # per second; for a while nobody reaches it
    # hosts
    "light_crash": 0.04,  # before and after every switch
    "light_stall": 0.05,
    "model_crash": 0.01,
    "model_stall": 0.02,
    "reply_breaks": 0.02,  # per token
    "load_fails": 0.3,
    "reclaimed": 0.5,  # an idle environment is gone when it is needed
    # asynchronous invocation
    "invoke_refused": 0.3,
    "invoke_refused_yet_taken": 0.2,
    "invoke_lost": 0.2,
    "invoke_twice": 0.3,
    "invoke_late": 0.3,
    "report_twice": 0.5,
    "report_late": 0.5,
    "report_lost": 0.2,
}

# Those that a client can't tell from its own network being down: it sees nothing while they last.
BETWEEN = frozenset(
    (
        "message_lost",
        "message_late",
        "light_crash",
        "light_stall",
        "frame_late",
        "cut",
        "half_open",
        "table_down",
    )
)
DOWN_S = (3.0, 15.0, 40.0)


class Chaos:
    """Args:
    rates: chance of each kind; kinds that are left out never happen by themselves.
    """

    def __init__(self, random: Random, rates: dict[str, float]) -> None:
        self.random = random
        self.rates = rates
        self.on = True
        self.down_until = 0.0  # the table is out of reach
        self.hits: Counter[str] = Counter()
        self._forced: Counter[str] = Counter()

    def force(self, kind: str) -> None:
        """At the next occasion it happens for sure."""
        self._forced[kind] += 1

    def hit(self, kind: str) -> bool:
        """Whether it happens now."""
        rate = self.rates.get(kind)
        if rate is None and not self._forced:
            return False
        if self._forced and self._forced[kind]:
            self._forced[kind] -= 1
        elif rate is None or not self.on or self.random.random() >= rate:
            return False
        self.hits[kind] += 1
        return True

    def calm(self) -> None:
        """From now on nothing goes wrong any more."""
        self.on = False
        self.down_until = 0.0
        self._forced.clear()


def draw_rates(random: Random, surely: Mapping[str, float]) -> dict[str, float]:
    """A few kinds of faults, each more or less often: a schedule in which everything breaks shows little.

    `surely`: those that have to be there, with their chances."""
    share = random.choice((0.0, 0.1, 0.25, 0.5))
    rates = {
        kind: highest * random.random() ** 1.5 for kind, highest in KINDS.items() if random.random() < share
    }
    return {**rates, **surely}
