"""A turn's life: written down as waiting work, and given its one terminal state."""

from session import spending
from session.events import Saved, TurnDone, TurnStatus, TurnSuggestions
from session.limits import limits
from session.record import OPENING_TURN, LastTurn, LiveTurn, Turn
from session.step import Step


def begin(step: Step, turn: LiveTurn) -> None:
    """Writes it down for the model; a stop that came before it ends it at once."""
    spending.count_turn(step)
    step.set(live=turn, stop=False, stop_seen=None)
    if tombstone(turn.turn_id, turn.version) in step.session.tombstones:
        end_live(step, "stopped", "stopped")


def tombstone(turn_id: str, version: int | None) -> str:
    """The mark of a stop that came before its turn; '#' is in no turn_id."""
    return f"{turn_id}#{version or 1}"


def end_live(step: Step, status: TurnStatus, reason: str) -> None:
    """Ends the live turn, if there is one, with the text that is stored."""
    live = step.session.live
    if live is not None:
        done = TurnDone(
            turn_id=live.turn_id, version=live.version, status=status, finish_reason=reason, length=0
        )
        finish(step, done)


def finish(step: Step, done: TurnDone) -> None:
    """Gives the live turn its one terminal state. A stop that was stored before it counts, whatever came
    after: then the text ends where the listener's screen stood still."""
    session, live = step.session, step.session.live
    assert live is not None
    text = live.text
    if session.stop:
        done = done.model_copy(update={"status": "stopped", "finish_reason": "stopped"})
        if session.stop_seen is not None:
            text = text[: max(live.continued, session.stop_seen)]  # what is continued was read before
    turn = Turn(
        number=live.number,
        turn_id=live.turn_id,
        version=live.version,
        said=live.said,
        text=text,
        status=done.status,
        finish_reason=done.finish_reason,
        source="model",
        created=live.created,
    )
    step.set(live=None, stop=False, stop_seen=None)
    close(step, turn, done.model_copy(update={"length": len(text)}))
    if done.usage is not None:
        spending.count_tokens(step, done.usage)
    if live.turn_id == OPENING_TURN and done.status == "completed" and step.world.suggestions:
        step.post(TurnSuggestions(turn_id=live.turn_id, suggestions=list(step.world.suggestions)))


def close(step: Step, turn: Turn, done: TurnDone) -> None:
    """Archives a finished turn; it is the last one now."""
    session = step.session
    mark = tombstone(turn.turn_id, turn.version)
    step.archive.append(turn)
    step.set(
        turns=max(session.turns, turn.number + 1),
        last=last_of(turn),
        last_done=done,
        recent=(*without(session.recent, turn.turn_id), turn.turn_id)[-limits().recent_turns :],
        tombstones=without(session.tombstones, mark),
    )
    step.post(done)


def last_of(turn: Turn) -> LastTurn:
    return LastTurn(
        turn_id=turn.turn_id,
        number=turn.number,
        version=turn.version,
        source=turn.source,
        status=turn.status,
        finish_reason=turn.finish_reason,
        length=len(turn.text),
    )


def without(names: tuple[str, ...], name: str) -> tuple[str, ...]:
    return tuple(known for known in names if known != name)


def add_saved(step: Step, saved: Saved, times: int = 1) -> None:
    """Counts what the FAQ saved; with `times` -1, what it did not save after all."""
    total = step.session.saved
    step.set(
        saved=Saved(
            seconds=total.seconds + times * saved.seconds,
            cost_usd=total.cost_usd + times * saved.cost_usd,
            energy_wh=total.energy_wh + times * saved.energy_wh,
        )
    )
