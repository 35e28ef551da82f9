"""The last turn, told once more or taken back.

`retry`, `edit`, `continue` and `not_faq` each make the next version of the same turn. The frame names the
version that it starts from, so that a repeated one changes nothing.
"""

from session import saying, spending, starts, turns
from session.errors import Refusal
from session.events import TurnRemoved, TurnStarted
from session.inputs import Retold, Undone
from session.limits import limits
from session.record import OPENING_TURN, LastTurn, LiveTurn, Turn
from session.step import Step

_BROKEN_OFF = ("length", "loop")  # reasons of a completed turn whose text may go on


def retell(step: Step, event: Retold) -> None:
    live, last = step.session.live, step.session.last
    coming = (event.turn_id, event.version + 1)
    if live is not None and (live.turn_id, live.version) == coming:
        step.post(TurnStarted(turn_id=live.turn_id, version=live.version, source="model"))
        return
    if last is not None and (last.turn_id, last.version) == coming:
        saying.tell_again(step, event.turn_id)
        return
    if live is not None:
        raise Refusal("turn_running")
    if last is None or (last.turn_id, last.version) != (event.turn_id, event.version):
        raise Refusal("not_last_turn")
    if event.turn is None:
        raise Refusal("turn_running")  # it was not archived yet when the host looked for it
    _check(event, last)
    saying.check_story(step)
    spending.check(step, tokens=True)
    if last.source == "faq":
        _take_back_savings(step)
    turns.begin(step, _next_version(event, last, event.turn, step.now))
    if step.session.live is not None:
        starts.call(step)


def _check(event: Retold, last: LastTurn) -> None:
    if last.version >= limits().turn_versions:
        raise Refusal("too_many_versions")
    if event.kind == "not_faq" and last.source != "faq":
        raise Refusal("not_from_faq")
    if event.kind == "edit":
        saying.check_text(event.text or "")
    if event.kind == "continue":
        whole = last.status == "completed" and last.finish_reason not in _BROKEN_OFF
        if whole or not last.length:
            raise Refusal("nothing_to_continue")
        if last.length >= limits().turn_chars:
            raise Refusal("turn_too_long", f"A turn has at most {limits().turn_chars:,} characters.")


def _next_version(event: Retold, last: LastTurn, told: Turn, now: float) -> LiveTurn:
    kept = told.text if event.kind == "continue" else ""
    return LiveTurn(
        turn_id=last.turn_id,
        version=last.version + 1,
        number=last.number,
        said=event.text if event.kind == "edit" and event.text else told.said,
        seed=event.seed,
        created=now,
        chunks=(kept,) if kept else (),
        length=len(kept),
        continued=len(kept),
    )


def _take_back_savings(step: Step) -> None:
    """The FAQ's answer was not what the listener asked for: it saved nothing."""
    done = step.session.last_done
    if done is not None and done.saved is not None:
        turns.add_saved(step, done.saved, times=-1)


def undo(step: Step, event: Undone) -> None:
    """Takes the last turn back, all its versions. The opening scene can only be told anew."""
    session, last = step.session, step.session.last
    if event.turn_id not in session.removed:
        if session.live is not None:
            raise Refusal("turn_running")
        if last is None or last.turn_id != event.turn_id or event.turn_id == OPENING_TURN:
            raise Refusal("not_last_turn")
        step.remove += [(last.number, version) for version in range(1, last.version + 1)]
        step.set(
            last=turns.last_of(event.previous) if event.previous else None,
            last_done=None,
            recent=turns.without(session.recent, event.turn_id),
            removed=(*session.removed, event.turn_id)[-limits().recent_turns :],
        )
    step.post(TurnRemoved(turn_id=event.turn_id))
