"""The labelled set, in two parts: the matcher was tuned on one, and the other was kept from it.

The hash of a text decides where it belongs, so that nobody can choose: half of them are held out.
"""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import yaml

Part = Literal["tune", "held_out"]
FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Labels:
    """`questions`: text to the entry that answers it. `near_misses`: text to the way in which it is near."""

    questions: dict[str, str]
    near_misses: dict[str, str]


def part_of(text: str) -> Part:
    """Where a text belongs."""
    return "tune" if sha256(text.encode()).digest()[0] % 2 == 0 else "held_out"


def load_labels(part: Part) -> Labels:
    questions, near_misses = (_texts(_read(name)) for name in ("questions", "near_misses"))
    return Labels(
        *({t: label for t, label in of.items() if part_of(t) == part} for of in (questions, near_misses))
    )


def _read(name: str) -> Any:
    return yaml.safe_load((FOLDER / f"{name}.yaml").read_text("utf-8"))


def _texts(groups: dict[str, list[str]]) -> dict[str, str]:
    return {text: group for group, texts in groups.items() for text in texts}
