"""What a schedule is about: most are everyday evenings, the others look hard at one kind of trouble."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

from session.caps import Caps

RARER = (
    *("retry", "edit", "continue", "not_faq", "undo", "undo"),
    *("rename", "export", "list", "pause", "wake", "model", "world", "delete", "reload"),
)


@dataclass(frozen=True)
class Theme:
    rates: Mapping[str, float] = field(default_factory=dict)  # faults that are there, with these chances
    rarer: Sequence[str] = RARER  # what listeners do besides talking
    hasty: float = 0.0  # chance that they do one more thing, without waiting for the answer to the first
    loads_s: Sequence[float] = ()  # what the model's starts take; () is all sorts
    slow_prefill: bool = False
    slow: bool = False  # the model is, and its replies are long
    lasts_s: tuple[float, float] = (4.0, 25.0)  # between two comings or goings of listeners
    still_s: Sequence[float] = ()  # in the middle nobody does anything for so long
    linger_s: float = 0.0
    caps: Caps = field(default_factory=Caps)


THEMES = {
    "everyday": Theme(),
    "farewells": Theme(
        rates={"table_slow": 0.15, "light_stall": 0.03, "message_twice": 0.2},
        rarer=("delete", "rename", "undo", "model", "reload"),
        hasty=0.7,
    ),
    "wanderers": Theme(rarer=("model", "model", "world", "wake", "reload"), loads_s=(6.0, 50.0, 180.0)),
    "zombies": Theme(
        rates={"model_stall": 0.005, "delta_late": 0.1},
        rarer=("retry", "edit"),
        slow_prefill=True,
        lasts_s=(60.0, 150.0),
    ),
    "refusals": Theme(rates={"post_429": 0.4, "post_500": 0.1}),
    "outages": Theme(rates={"table_down": 0.05, "throttled": 0.05, "table_slow": 0.15}),
    "lingering": Theme(linger_s=25.0, rates={"model_stall": 0.01}),
    "thrift": Theme(caps=Caps(stack=40.0, address=25.0), rarer=("wake", "retry", "reload", "model")),
    "slowness": Theme(slow=True),
    "patience": Theme(still_s=(640.0, 7_185.0)),  # the gateway ends what is idle, and what is old
}
_OTHERS = [name for name in THEMES if name != "everyday"]


def draw_theme(random: Random) -> str:
    return "everyday" if random.random() < 0.6 else random.choice(_OTHERS)
