"""What the doctor says about one thing."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad it is. Only BLOCKS makes the doctor's exit status 1."""

    OK = "ok"
    TODO = "to do"  # the deploy goes through, but something is slower, smaller or unsure
    BLOCKS = "blocks"  # the deploy would fail, or so likely that gigabytes shouldn't be sent for it


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at. Holds no credential, ever: our own words, numbers and AWS's error codes,
    never the text of another program's error."""

    about: str
    level: Level
    says: str
    do: str = ""  # how to get what is missing


def ok(about: str, says: str, do: str = "") -> Finding:
    return Finding(about=about, level=Level.OK, says=says, do=do)


def todo(about: str, says: str, do: str) -> Finding:
    return Finding(about=about, level=Level.TODO, says=says, do=do)


def blocks(about: str, says: str, do: str) -> Finding:
    return Finding(about=about, level=Level.BLOCKS, says=says, do=do)
