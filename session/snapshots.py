"""The whole story so far, in frames of at most 32 KB."""

from collections.abc import Iterator, Sequence

from prologue.dialogue import DialogueState
from session.events import PrologueEntry, SessionSnapshot, TurnSnapshot
from session.pieces import ROOM, pieces
from session.record import Session, Turn


def snapshots(session: Session, turns: Sequence[Turn], told: list[PrologueEntry]) -> list[SessionSnapshot]:
    """Every version of every turn, in order, and all that the prologue has told.

    A turn that is too long for a frame goes on in the next part: the same id and version, its texts joined.
    """
    story = [(turn.number, turn.version, turn.snapshot()) for turn in turns]
    live = session.live
    if live is not None and all(place[:2] != (live.number, live.version) for place in story):
        story.append((live.number, live.version, live.snapshot()))  # unless it has ended since
    views = [view for _, _, view in sorted(story, key=lambda place: place[:2])]
    return _parts(told, [part for view in views for part in _cut(view)], session.dialogue)


def _cut(view: TurnSnapshot) -> Iterator[TurnSnapshot]:
    if len(view.wire()) <= ROOM:
        yield view
        return
    yield view.model_copy(update={"text": ""})
    for text in pieces(view.text):
        yield view.model_copy(update={"said": "", "text": text})


def _parts(
    told: list[PrologueEntry], turns: list[TurnSnapshot], state: DialogueState
) -> list[SessionSnapshot]:
    groups: list[list[PrologueEntry | TurnSnapshot]] = [[]]
    answered = state.facts()
    size = len(str(answered).encode())
    for piece in (*told, *turns):
        weight = len(piece.wire()) + 1  # its comma
        if size + weight > ROOM:
            groups.append([])
            size = 0
        size += weight
        groups[-1].append(piece)
    return [
        SessionSnapshot(
            turns=[piece for piece in group if isinstance(piece, TurnSnapshot)],
            prologue=[piece for piece in group if not isinstance(piece, TurnSnapshot)],
            answered=answered if number == 1 else {},
            paused=state.paused,
            part=number,
            parts=len(groups),
        )
        for number, group in enumerate(groups, 1)
    ]
