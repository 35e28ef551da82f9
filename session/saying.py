"""What the listener says, and where they stop."""

from session import spending, starts, turns
from session.actions import PostSnapshot
from session.errors import Refusal
from session.events import TurnDelta, TurnDone, TurnRemoved, TurnStarted
from session.inputs import Said, Stopped
from session.limits import limits
from session.record import OPENING_TURN, LiveTurn, Phase, Turn
from session.step import Step


def say(step: Step, event: Said) -> None:
    session = step.session
    if session.live is not None and session.live.turn_id == event.turn_id:
        step.post(TurnStarted(turn_id=event.turn_id, version=session.live.version, source="model"))
        return
    if event.turn_id in (*session.recent, *session.removed):
        tell_again(step, event.turn_id)
        return
    if event.turn_id == OPENING_TURN:
        raise Refusal("invalid_frame", f"In 'say', turn_id {OPENING_TURN!r} is the opening scene's own.")
    check_text(event.text)
    if session.live is not None:
        raise Refusal("turn_running")
    if event.faq is not None:
        spending.check(step, tokens=False)
        _answer_from_faq(step, event, event.faq)
        return
    check_story(step)
    spending.check(step, tokens=True)
    turns.begin(
        step,
        LiveTurn(
            turn_id=event.turn_id,
            number=session.turns,
            said=event.text,
            seed=event.seed,
            created=step.now,
        ),
    )
    if step.session.live is not None:
        starts.call(step)


def check_text(text: str) -> None:
    if not text.strip():
        raise Refusal("empty_text")
    if len(text) > limits().say_chars:
        raise Refusal("text_too_long", f"A turn has at most {limits().say_chars:,} characters.")


def check_story(step: Step) -> None:
    """Only a story that has begun has turns for the model."""
    model = step.session.model
    if step.session.phase is not Phase.STORY:
        if model.rests_until > step.now:
            raise Refusal("daily_cap", model.message)
        raise Refusal("model_failed" if model.state == "failed" else "story_not_begun")


def _answer_from_faq(step: Step, event: Said, text: str) -> None:
    spending.count_turn(step)
    if event.saved is not None:
        turns.add_saved(step, event.saved)
    turn = Turn(
        number=step.session.turns,
        turn_id=event.turn_id,
        version=1,
        said=event.text,
        text=text,
        status="completed",
        finish_reason="faq",
        source="faq",
        created=step.now,
    )
    done = TurnDone(
        turn_id=event.turn_id,
        version=1,
        status="completed",
        finish_reason="faq",
        length=len(text),
        saved=event.saved,
    )
    step.post(TurnStarted(turn_id=event.turn_id, version=1, source="faq"))
    step.post(TurnDelta(turn_id=event.turn_id, version=1, offset=0, text=text))
    turns.close(step, turn, done)


def stop(step: Step, event: Stopped) -> None:
    """A running turn's holder finds the flag with its next write; nobody computes a waiting one yet. A stop
    for a version that is not there yet is kept for it; one that comes too late is told how it ended."""
    session, live = step.session, step.session.live
    if live is not None and live.turn_id == event.turn_id and event.version in (None, live.version):
        if not session.stop:  # the first one counts: there the listener's screen stood still
            step.set(stop=True, stop_seen=event.seen)
        if live.status == "waiting":
            turns.end_live(step, "stopped", "stopped")
            starts.call_off(step)
    elif event.turn_id in session.removed or (event.turn_id in session.recent and not _is_early(step, event)):
        tell_again(step, event.turn_id)
    else:
        mark = turns.tombstone(event.turn_id, event.version)
        if mark not in session.tombstones:
            step.set(tombstones=(*session.tombstones, mark)[-limits().tombstones :])


def _is_early(step: Step, event: Stopped) -> bool:
    """Whether the last turn is meant, in a version that is still to come."""
    last = step.session.last
    return last is not None and last.turn_id == event.turn_id and (event.version or 0) > last.version


def tell_again(step: Step, turn_id: str) -> None:
    """How a finished turn ended, for a client that may have missed it."""
    done = step.session.last_done
    if turn_id in step.session.removed:
        step.post(TurnRemoved(turn_id=turn_id))
    elif done is not None and done.turn_id == turn_id:
        step.post(done)
    else:
        step.actions.append(PostSnapshot())
