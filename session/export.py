"""A story as one text, to keep: Markdown to read, JSON for programs."""

import json
from collections.abc import Iterator, Sequence
from typing import Literal

from session.events import SessionExport, TurnSnapshot
from session.pieces import pieces
from session.record import Session, Turn

Format = Literal["markdown", "json"]


def export(session: Session, turns: Sequence[Turn], *, title: str, format: Format) -> Iterator[SessionExport]:
    """The frames that hold the story: of each turn its newest version with text, also one being told.

    `title` is the world's, for a story that has no name of its own.
    """
    told = _told(session, turns)
    text = (_markdown if format == "markdown" else _json)(session, told, session.title or title)
    parts = list(pieces(text))
    for number, part in enumerate(parts, 1):
        yield SessionExport(format=format, text=part, part=number, parts=len(parts))


def newest(turns: Sequence[Turn]) -> list[Turn]:
    """Of each turn the newest version that has text, in order."""
    ordered = sorted(turns, key=lambda turn: (turn.number, turn.version))
    return list({turn.number: turn for turn in ordered if turn.text.strip()}.values())


def _told(session: Session, turns: Sequence[Turn]) -> list[TurnSnapshot]:
    told = {turn.number: turn.snapshot() for turn in newest(turns)}
    if session.live is not None and session.live.text.strip():
        told[session.live.number] = session.live.snapshot()
    return [told[number] for number in sorted(told)]


def _markdown(session: Session, told: Sequence[TurnSnapshot], title: str) -> str:
    paragraphs = [f"# {title}"]
    for turn in told:
        if turn.said:
            paragraphs.append("\n".join(f"> {line}".rstrip() for line in turn.said.splitlines()))
        if turn.source == "faq":
            paragraphs.append(f"*(answered by the house)* {turn.text.strip()}")
        else:
            paragraphs.append(turn.text.strip())
    return "\n\n".join(paragraphs) + "\n"


def _json(session: Session, told: Sequence[TurnSnapshot], title: str) -> str:
    document = {
        "title": title,
        "world": session.world,
        "language": session.language,
        "model": session.model_name,
        "created": session.created,
        "answers": session.dialogue.facts(),
        "turns": [turn.model_dump(include={"said", "text", "status", "source"}) for turn in told],
    }
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"
