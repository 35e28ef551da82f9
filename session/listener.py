"""What the listener's side may do: the rules behind the light function."""

from typing import assert_never

from prologue import dialogue
from session import deletion, retelling, saying, settling, starts
from session.errors import Refusal
from session.events import SessionRenamed
from session.inputs import (
    Answered,
    Called,
    Deleted,
    Disconnected,
    HouseFull,
    InvokeFailed,
    ListenerInput,
    ModelChosen,
    Paused,
    Pinged,
    Renamed,
    Rested,
    Resumed,
    Retold,
    Said,
    Skipped,
    Stopped,
    Undone,
    Woken,
)
from session.limits import limits
from session.record import Phase
from session.step import Step


def apply(step: Step, event: ListenerInput) -> None:
    if step.session.deleted:
        deletion.refuse(step, event)
        return
    match event:
        case Resumed():
            settling.resume(step, event)
        case Answered():
            _answer(step, event)
        case Skipped():
            _skip(step, event)
        case Paused():
            _pause(step, event)
        case Said():
            saying.say(step, event)
        case Stopped():
            saying.stop(step, event)
        case Retold():
            retelling.retell(step, event)
        case Undone():
            retelling.undo(step, event)
        case ModelChosen():
            starts.choose(step, event)
        case Renamed():
            _rename(step, event)
        case Deleted():
            deletion.delete(step)
        case Woken():
            starts.wake(step)
        case Pinged():
            settling.ping(step, event)
        case Disconnected():
            settling.disconnected(step, event)
        case InvokeFailed():
            starts.invoke_failed(step, event)
        case HouseFull():
            starts.house_full(step, event)
        case Rested():
            starts.rested(step, event)
        case Called():
            starts.called(step, event)
        case _:  # pragma: no cover - mypy proves that there is no other
            assert_never(event)


def _answer(step: Step, event: Answered) -> None:
    told = step.session.dialogue
    if dialogue.is_repeat(told, event.question_id, choice=event.choice, text=event.text):
        step.tell_again(event.question_id)
        return
    step.tell(dialogue.answer(told, step.world, event.question_id, choice=event.choice, text=event.text))
    _interacted(step)


def _skip(step: Step, event: Skipped) -> None:
    told = step.session.dialogue
    if dialogue.was_skipped(told, event.question_id):
        step.tell_again(event.question_id)
        return
    step.tell(dialogue.skip(told, step.world, event.question_id))
    _interacted(step)


def _interacted(step: Step) -> None:
    """After an answer or a skip: the world's moment to wake the model, or to raise the curtain."""
    if step.session.dialogue.finished:
        step.set(phase=Phase.AWAITING)
        starts.call(step)
    elif step.session.seat.epoch == 0:
        starts.call(step)


def _pause(step: Step, event: Paused) -> None:
    told = step.session.dialogue
    if told.paused != event.paused:
        step.set(dialogue=told.model_copy(update={"paused": event.paused}))


def _rename(step: Step, event: Renamed) -> None:
    """The listener's own name of the story; an empty one takes it away."""
    title = " ".join(event.title.split())
    if len(title) > limits().title_chars:
        raise Refusal("text_too_long", f"A title has at most {limits().title_chars} characters.")
    if title != step.session.title:
        step.set(title=title)
    step.post(SessionRenamed(title=title))
