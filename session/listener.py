"""What the listener's side may do: the rules behind the light function."""

from typing import assert_never

from prologue import dialogue
from session.actions import PostSnapshot, PostTo
from session.errors import Refusal
from session.events import (
    Pong,
    SessionReady,
    SessionSuperseded,
    TurnDelta,
    TurnDone,
    TurnStarted,
)
from session.inputs import (
    Answered,
    Disconnected,
    InvokeFailed,
    ListenerInput,
    Paused,
    Pinged,
    Resumed,
    Said,
    Skipped,
    Stopped,
    Woken,
)
from session.limits import limits
from session.record import Phase, Turn
from session.step import Step


def apply(step: Step, event: ListenerInput) -> None:
    match event:
        case Resumed():
            _resume(step, event)
        case Answered():
            _answer(step, event)
        case Skipped():
            _skip(step, event)
        case Paused():
            told = step.session.dialogue.model_copy(update={"paused": event.paused})
            step.set(dialogue=told)
        case Said():
            _say(step, event)
        case Stopped():
            _stop(step, event)
        case Woken():
            if step.session.seat.live(step.now):
                step.post_status()
            else:
                step.call_model()
        case Pinged():
            _ping(step, event)
        case Disconnected():
            if step.session.connection_id == event.connection_id:
                step.set(connection_id=None, gone_at=step.now)
        case InvokeFailed():
            # Only if that invocation still holds the seat: a late report changes nothing.
            if event.epoch == step.session.seat.epoch and step.session.seat.live(step.now):
                _invoke_failed(step, event)
        case _:  # pragma: no cover - mypy proves that there is no other
            assert_never(event)


def _resume(step: Step, event: Resumed) -> None:
    old = step.session.connection_id
    if old is not None and old != event.connection_id:
        step.actions.append(PostTo(old, SessionSuperseded(session_id=step.session.session_id)))
    step.set(connection_id=event.connection_id, connected_at=step.now, gone_at=None)
    step.post(
        SessionReady(
            session_id=step.session.session_id,
            world=step.session.world,
            model=step.session.model_name,
            models=[step.session.model_name],
            resumed=True,
        )
    )
    step.actions.append(PostSnapshot())
    settle(step)
    step.post_status()


def _answer(step: Step, event: Answered) -> None:
    told = step.session.dialogue
    if dialogue.is_repeat(told, event.question_id, choice=event.choice, text=event.text):
        step.tell_again(event.question_id)
        return
    step.tell(dialogue.answer(told, step.world, event.question_id, choice=event.choice, text=event.text))
    _interacted(step)


def _skip(step: Step, event: Skipped) -> None:
    told = step.session.dialogue
    if event.question_id is not None and dialogue.was_skipped(told, event.question_id):
        step.tell_again(event.question_id)
        return
    step.tell(dialogue.skip(told, step.world, event.question_id))
    _interacted(step)


def _interacted(step: Step) -> None:
    """After an answer or a skip: the world's moment to wake the model, or to raise the curtain."""
    if step.session.phase is Phase.PROLOGUE and step.session.dialogue.finished:
        step.set(phase=Phase.AWAITING)
        step.call_model()
    elif step.session.seat.epoch == 0:
        step.call_model()


def _say(step: Step, event: Said) -> None:
    session = step.session
    if session.live is not None and session.live.turn_id == event.turn_id:
        step.post(TurnStarted(turn_id=event.turn_id, version=session.live.version, source="model"))
        return
    if event.turn_id in session.recent:
        _tell_again(step, event.turn_id)
        return
    if not event.text.strip():
        raise Refusal("empty_text")
    if len(event.text) > limits().say_chars:
        raise Refusal("text_too_long", f"A turn has at most {limits().say_chars:,} characters.")
    if session.live is not None:
        raise Refusal("turn_running")
    if event.faq is not None:
        _answer_from_faq(step, event, event.faq)
        return
    if session.phase is not Phase.STORY:
        raise Refusal("model_failed" if session.model.state == "failed" else "story_not_begun")
    step.begin_turn(event.turn_id, event.text, event.seed)
    if step.session.live is not None:
        step.call_model()


def _answer_from_faq(step: Step, event: Said, text: str) -> None:
    step.archive.append(
        Turn(
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
    )
    step.post(TurnStarted(turn_id=event.turn_id, version=1, source="faq"))
    step.post(TurnDelta(turn_id=event.turn_id, version=1, offset=0, text=text))
    step.close_turn(
        TurnDone(
            turn_id=event.turn_id,
            version=1,
            status="completed",
            finish_reason="faq",
            length=len(text),
        )
    )


def _stop(step: Step, event: Stopped) -> None:
    session = step.session
    if session.live is None or session.live.turn_id != event.turn_id:
        if event.turn_id in session.recent:
            _tell_again(step, event.turn_id)
        else:
            step.set(tombstones=(*session.tombstones, event.turn_id)[-limits().tombstones :])
        return
    if session.live.status == "waiting":
        step.end_live("stopped", "stopped")  # nobody computes it yet
    else:
        step.set(stop=True)


def _tell_again(step: Step, turn_id: str | None) -> None:
    """How a finished turn ended, for a client that may have missed it."""
    done = step.session.last_done
    if done is not None and done.turn_id == turn_id:
        step.post(done)
    else:
        step.actions.append(PostSnapshot())


def _ping(step: Step, event: Pinged) -> None:
    session = step.session
    step.post(Pong(seq=len(session.dialogue.log)))
    if event.turn_id in session.recent:
        _tell_again(step, event.turn_id)
    if session.model.state == "starting" and not session.seat.holder:  # nobody else tells them yet
        step.tell(dialogue.progress(session.dialogue, step.world, 0.0, step.now))
    stayed = step.now - session.connected_at >= limits().wake_after_s
    if session.seat.epoch == 0 and stayed:
        step.call_model()
    settle(step)


def _invoke_failed(step: Step, event: InvokeFailed) -> None:
    live = step.session.live
    if live is not None and live.status == "running":
        step.lose_holder()
    else:
        step.fail_model(event.message)


def settle(step: Step) -> None:
    """Finds what got lost: a holder that died, an invoke that never came, a start that takes for ever."""
    session = step.session
    if session.seat.live(step.now):
        return
    if session.live is not None and session.live.status == "running":
        step.lose_holder()
        return
    if session.model.state == "ready":
        step.set_model(state="resting")
    if session.model.state == "failed":
        return  # until the listener says wake
    starting = session.model.state in ("starting", "loading")
    if starting and step.now - session.model.woken_at > limits().start_limit_s:
        step.fail_model("The model did not come within five minutes.")
    elif starting or session.live is not None or session.phase is Phase.AWAITING:
        step.call_model()
