"""One turn as a client knows it: its newest version, spliced together, and the earlier ones."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from session.events import TurnDelta, TurnDone, TurnSnapshot, TurnStarted

OPEN = ("sending", "waiting", "running")


@dataclass
class TurnView:
    """The newest version of a turn. `sending` until the server has confirmed it."""

    turn_id: str
    version: int
    source: str
    said: str = ""
    text: str = ""
    status: str = "running"
    done: TurnDone | None = None
    frozen: int | None = None  # code points on the screen when the listener said stop
    earlier: list["TurnView"] = field(default_factory=list)
    request: dict[str, Any] | None = None  # the frame that asked for this version

    @property
    def over(self) -> bool:
        return self.status not in OPEN

    @property
    def shown(self) -> str:
        """What the listener sees: a stop freezes it at once, whatever was still on its way."""
        return self.text[: self.frozen]

    def renewed(
        self, version: int, *, said: str | None = None, request: dict[str, Any] | None = None
    ) -> "TurnView":
        """A new version without text; this one and those before it are kept, unless never confirmed."""
        return TurnView(
            self.turn_id,
            version,
            "",
            said=self.said if said is None else said,
            status="sending",
            earlier=[known for known in self.versions if known.status != "sending"],
            request=request,
        )

    @property
    def versions(self) -> list["TurnView"]:
        """All versions, this one last; those before it without `earlier` of their own."""
        return [*self.earlier, replace(self, earlier=[])]

    def before(self) -> "TurnView":
        """The turn without its newest version, which must not be its first."""
        return replace(self.earlier[-1], earlier=self.earlier[:-1])

    def start(self, frame: TurnStarted) -> None:
        if frame.version == self.version and not self.over:
            self.source, self.status = frame.source, "running"

    def splice(self, frame: TurnDelta) -> bool:
        """Takes a delta of this version in. False if text before it is missing."""
        if self.over:
            return True
        if frame.offset > len(self.text):
            return False
        self.text = self.text[: frame.offset] + frame.text + self.text[frame.offset + len(frame.text) :]
        self.status = "running"
        return True

    def finish(self, frame: TurnDone) -> bool:
        """Ends this version; a stopped one ends where `length` says. False if text is missing."""
        self.status, self.done, self.frozen = frame.status, frame, None
        if frame.status == "stopped":
            self.text = self.text[: frame.length]
        return len(self.text) == frame.length

    def restore(self, told: TurnSnapshot) -> None:
        """Takes what the table holds. Newer deltas may have overtaken it: then the text stays as it is."""
        self.said, self.source = told.said, told.source
        if told.status not in OPEN:
            self.status, self.text, self.frozen = told.status, told.text, None
        elif not self.over:
            self.status = "running" if self.text else told.status
            if not self.text.startswith(told.text):
                self.text = told.text


def joined(told: Iterable[TurnSnapshot]) -> list[TurnSnapshot]:
    """A version that is too long for a frame comes in pieces, one after the other: put together again."""
    whole: list[TurnSnapshot] = []
    for turn in told:
        before = whole[-1] if whole else None
        if before and (before.turn_id, before.version) == (turn.turn_id, turn.version):
            whole[-1] = before.model_copy(update={"text": before.text + turn.text})
        else:
            whole.append(turn)
    return whole


def merge(known: dict[str, TurnView], told: Iterable[TurnSnapshot], *, whole: bool) -> dict[str, TurnView]:
    """The turns of a snapshot in its order, then those that it does not have: all, or (if it is the `whole`
    story) only what was never confirmed."""
    versions: dict[str, dict[int, TurnView]] = {}
    for turn in told:
        if turn.turn_id not in versions:
            before = known[turn.turn_id].versions if turn.turn_id in known else []
            versions[turn.turn_id] = {view.version: view for view in before}
        view = versions[turn.turn_id].setdefault(
            turn.version, TurnView(turn.turn_id, turn.version, turn.source, status=turn.status)
        )
        view.restore(turn)
    merged: dict[str, TurnView] = {}
    for turn_id, numbered in versions.items():
        *earlier, newest = [view for _, view in sorted(numbered.items())]
        merged[turn_id] = replace(newest, earlier=earlier)
    kept = {turn_id: turn for turn_id, turn in known.items() if not whole or turn.status == "sending"}
    return merged | {turn_id: turn for turn_id, turn in kept.items() if turn_id not in merged}
