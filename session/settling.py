"""Every `hello` and `ping` settles the session: messages get lost, and functions die without a word."""

from prologue import dialogue
from session import saying, starts
from session.actions import PostSnapshot, PostTo
from session.events import Pong, SessionReady, SessionSuperseded
from session.inputs import Disconnected, Pinged, Resumed
from session.limits import limits
from session.record import Session
from session.step import Step, expected_s


def settle(step: Step) -> None:
    """Finds what got lost: a holder that died, an invoke that never came, a start that takes for ever; and
    asks again for whoever is queued."""
    session = step.session
    if session.seat.live(step.now):
        return
    if session.live is not None and session.live.status == "running":
        starts.lose_holder(step)
        return
    if session.model.state == "ready":
        step.set_model(state="resting")
    if not starts.waits(step.session):
        if step.session is not session:
            step.post_status()
        return
    if session.model.rests_until > step.now:
        return
    queued = session.model.state == "full"
    woken_at = session.model.woken_at
    if queued and step.now - session.queued_at > limits().queue_limit_s:
        starts.no_place(step)
    elif woken_at and step.now - woken_at > limits().start_limit_s:
        starts.fail(step, f"The model did not come within {limits().start_limit_s / 60:.0f} minutes.")
    else:
        starts.call(step, quiet=queued)


def ping(step: Step, event: Pinged) -> None:
    session = step.session
    step.post(Pong(seq=len(session.dialogue.log)))
    running = session.live is not None and session.live.turn_id == event.turn_id
    if event.turn_id in (*session.recent, *session.removed) and not running:
        saying.tell_again(step, event.turn_id)
    if session.model.state in ("starting", "full") and not session.seat.holder:  # nobody else tells them yet
        eta_s = expected_s(session, step.now)
        step.tell(dialogue.progress(session.dialogue, step.world, 0.0, step.now, eta_s))
    if session.seat.epoch == 0 and step.now - session.connected_at >= limits().wake_after_s:
        starts.call(step)
    settle(step)


def resume(step: Step, event: Resumed) -> None:
    """The newest hello wins. The connection is stored first, and the story read after it."""
    old, gone_at = step.session.connection_id, step.session.gone_at
    if old is not None and old != event.connection_id:
        step.actions.append(PostTo(old, SessionSuperseded(session_id=step.session.session_id)))
    step.set(connection_id=event.connection_id, connected_at=step.now, gone_at=None)
    if gone_at is not None and step.now - gone_at > limits().seat_s:
        _wait_anew(step)
    if event.payer:
        step.set(payer=event.payer)
    if event.resume_hash:
        step.set(resume_hash=event.resume_hash)
    step.post(ready(step.session, resumed=True, resume_key=event.resume_key))
    step.actions.append(PostSnapshot())
    settle(step)
    step.post_status()


def _wait_anew(step: Step) -> None:
    """Nothing was settled while nobody was there: the listener's patience begins now."""
    if step.session.queued_at:
        step.set(queued_at=step.now)
    if step.session.model.woken_at:
        step.set_model(woken_at=step.now)


def disconnected(step: Step, event: Disconnected) -> None:
    """Only if it is still that connection: the news may be late."""
    if step.session.connection_id == event.connection_id:
        step.set(connection_id=None, gone_at=step.now)


def ready(session: Session, *, resumed: bool, resume_key: str | None = None) -> SessionReady:
    """The host adds which models and worlds there are."""
    return SessionReady(
        session_id=session.session_id,
        resume_key=resume_key,
        world=session.world,
        language=session.language,
        title=session.title,
        model=session.model_name,
        models=[session.model_name],
        resumed=resumed,
    )
