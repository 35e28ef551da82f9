"""What must hold for listeners in time, for prompts, and for all that is left when everything is quiet."""

from collections.abc import Sequence

from lambda_image.narrator import Message
from session.record import Phase, Session
from tests.fakes import MemoryStore
from tests.sim.clockwork import Clockwork
from tests.sim.functions import ModelFunction
from tests.sim.listener import Listener
from tests.sim.offer import world
from tests.sim.witness import SKEW_S, Version, Witness

SEEN_S = 30.0
BUSY = ("starting", "loading", "full", "ready")


def overdue(witness: Witness, listener: Listener, calm_since: float) -> None:
    """A connected client has seen every terminal state that is stored for more than 30 s."""
    story, now = listener.story, witness.now
    for version in witness.ends_of[story.session_id][-3:]:
        turn = story.turns.get(version[1])
        if (turn and (turn.version, turn.over) >= (version[2], True)) or version in witness.removed:
            continue
        since = max(witness.ended[version][0], listener.ok_since, calm_since)
        if now - since > SEEN_S:
            witness.accuse(f"{listener.name} does not see the end of {version} {now - since:.0f} s later")


def prompt(
    witness: Witness,
    session: Session,
    version: Version,
    messages: Sequence[Message],
    continued: str,
) -> None:
    """The model reads the facts, the newest told version of every turn before, and what was said: no more."""
    live = session.live
    if live is None or version != (session.session_id, live.turn_id, live.version):
        return
    told, story = {}, world(session.world, session.language)
    for key, (_, turn) in sorted(witness.ended.items(), key=lambda item: (item[1][1].number, item[0][2])):
        if key[0] == session.session_id and key not in witness.removed and turn.text.strip():
            told[turn.number] = turn
    expected = [("system", story.render_system(session.dialogue.facts()))]
    for number, turn in sorted(told.items()):
        if number < live.number and turn.source == "model":
            expected += [("user", turn.said or story.opening_prompt), ("assistant", turn.text)]
    expected.append(("user", live.said or story.opening_prompt))
    read = [(message["role"], message["content"]) for message in messages]
    if read != expected:
        witness.accuse(f"{version} was told after reading {read}, not {expected}")
    if continued != live.text[: live.continued]:
        witness.accuse(f"{version} goes on from {continued!r}, not from {live.text[: live.continued]!r}")


def unquiet(
    memory: MemoryStore, listeners: Sequence[Listener], models: Sequence[ModelFunction], clockwork: Clockwork
) -> list[str]:
    """What is still going on, in a few words each."""
    surely = clockwork.epoch + clockwork.now + SKEW_S
    left = [f"{e.host.name} works" for m in models for e in m.environments if e.event is not None]
    for listener in listeners:
        if listener.gone:
            continue
        story, name = listener.story, listener.name
        if not listener.connected or story.held is not None:
            left.append(f"{name} is not connected")
        if story.open_turn or story.unconfirmed or listener.undoing or listener.deleting:
            left.append(f"{name} waits for {story.open_turn or listener.undoing or 'the end of its story'}")
        session = memory.heads.get(story.session_id)
        if session is None or session.deleted:
            left.append(f"{name} is in a story that is gone")
        elif session.live or session.model.state in BUSY:
            left.append(f"{session.session_id}: {session.live} {session.model} {session.seat}")
        elif session.phase is Phase.AWAITING and not _given_up(session, surely):
            left.append(f"{session.session_id} awaits the opening scene")
    return left


def _given_up(session: Session, surely: float) -> bool:
    """Nobody comes by themselves: the start has failed, or the day's model seconds are spent."""
    return session.model.state == "failed" or session.model.rests_until > surely


def compare(witness: Witness, memory: MemoryStore, listener: Listener) -> None:
    """Everything is quiet: the client has exactly what the table has."""
    story = listener.story
    stored = {(t.turn_id, t.version): t for t in memory.turns(story.session_id)}
    newest = dict(sorted(stored))
    shown = {turn.turn_id: turn for turn in story.turns.values()}
    if set(newest) != set(shown):
        witness.accuse(f"{listener.name} has the turns {sorted(shown)}, the table {sorted(newest)}")
        return
    for turn_id, version in newest.items():
        turn, kept = shown[turn_id], stored[turn_id, version]
        if (turn.version, turn.text, turn.status) != (version, kept.text, kept.status):
            witness.accuse(f"{listener.name} has {turn}, the table {kept}")
    for key, (_, ended) in witness.ended.items():
        if key[0] == story.session_id and key not in witness.removed and key[1:] not in stored:
            witness.accuse(f"{key} had ended {ended.status}, and is not in the table")


def leftovers(witness: Witness, memory: MemoryStore) -> None:
    """Nothing of what was deleted is in the table."""
    for session_id in sorted(witness.erased & set(witness.deleted)):
        if memory.turns(session_id):
            witness.accuse(f"{session_id} was deleted, and its turns are still there")
    for version in witness.begun - set(witness.ended) - witness.removed:
        session = memory.heads.get(version[0])
        waits = session is not None and session.live is not None and session.live.turn_id == version[1]
        if version[0] not in witness.deleted and not waits:
            witness.accuse(f"{version} never ended")
