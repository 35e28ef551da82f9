"""The light function in a state of the table of `docs/protocol.md`, and what it makes of a client's frame."""

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from prologue.service import PrologueService
from session.events import Frame, WorldView
from session.record import Session
from session.runner import Runner
from tests.fakes import Clock, MemoryStore, RecordingPoster, emerald_city
from tests.playing import Play

QUESTION = "What is this?"


@dataclass
class _Match:
    answer: str


class _Faq:
    def match(self, text: str) -> _Match | None:
        return _Match("It is a story house.") if text == QUESTION else None


@dataclass
class House:
    """Everything that a listener and the platform see, in order: `log`."""

    play: Play
    log: list[tuple[str, Frame | None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        house, clock = self, Clock(self.play.now)
        secret = hashlib.sha256(b"key").hexdigest()
        self.before = self.play.session.model_copy(update={"rev": 1, "resume_hash": secret, "subject": "ada"})

        class Poster(RecordingPoster):
            def post(self, connection_id: str, frame: Frame) -> None:
                super().post(connection_id, frame)
                house.log.append((connection_id, frame))

        class Store(MemoryStore):
            def erase(self, session: Session) -> None:
                super().erase(session)
                house.log.append(("erased", None))

        self.store = Store(
            heads={"s1": self.before},
            archived={"s1": list(self.play.archive)},
        )
        self.store.bind("c1", "s1", 9_999_999_999, instead_of=None)
        runner = Runner(
            store=self.store,
            poster=Poster(),
            worlds=lambda name, language: emerald_city(),
            clock=clock,
            models=("demo", "other"),
            offer=tuple(
                WorldView(name=name, language="en", title=name) for name in ("emerald-city", "lighthouse")
            ),
            invoke=lambda session, epoch: self.log.append(("invoke", None)),
        )
        faq: Any = _Faq()
        self.service = PrologueService(runner, matcher=lambda world, language: faq)

    def send(self, connection_id: str, **frame: object) -> str:
        """What comes of a frame, in the words of the table."""
        self.service.message(connection_id, json.dumps(frame), subject="ada")
        words: list[str] = []
        for to, found in self.log:
            word = to if found is None else _word(found)
            if found is not None and to != connection_id:
                word = "superseded to the old one"
            if word not in words:
                words.append(word)
        archived, kept = self.play.archive, self.store.archived.get("s1", [])
        if new := [turn for turn in kept if turn not in archived]:
            words.append(f"turn {new[-1].status}")
        if "`unknown_session`" in words:  # on the way, an erasure that was cut short is ended
            return "`unknown_session`"
        if "erased" not in words and (gone := [turn for turn in archived if turn not in kept]):
            words.append(f"{len(gone)} removed")
        return ", ".join(words) or ("nothing" if self._same() else "noted")

    def _same(self) -> bool:
        return self.store.heads["s1"].model_copy(update={"rev": 1}) == self.before


def _word(frame: Frame) -> str:
    kind = str(getattr(frame, "type", ""))
    if kind == "error":
        return f"`{getattr(frame, 'code', '')}`"
    if kind == "model.status":
        return f"model.status {getattr(frame, 'state', '')}"
    return {"session.snapshot": "snapshot"}.get(kind, kind.removeprefix("prologue."))
