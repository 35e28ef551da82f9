"""The model's coming and going, as one session sees it: called, queued, seated, lost, failed, switched."""

from datetime import UTC, datetime

from prologue import dialogue
from session import turns
from session.actions import Invoke
from session.errors import Refusal
from session.events import ModelStateName
from session.inputs import Called, HouseFull, InvokeFailed, ModelChosen, Rested
from session.limits import limits
from session.record import OPENING_TURN, LiveTurn, Model, Phase, Session
from session.requests import error_frame
from session.step import SeatLost, Step, model_status


def waits(session: Session) -> bool:
    """Whether anything here waits for a model that has not been given up."""
    if session.model.state == "failed":
        return False
    if session.live is not None:
        return session.live.status == "waiting"
    return session.phase is Phase.AWAITING or session.model.state in ("starting", "loading", "full")


def call(step: Step, *, quiet: bool = False) -> None:
    """There is work, or a wish to wake: tell the live holder, or take the seat and invoke.

    `quiet`: a queued session asks again, and the listener knows already.
    """
    step.set(work_seq=step.session.work_seq + 1)
    seat, known = step.session.seat, step.session.model.state
    live = seat.live(step.now)
    if live and seat.holder:
        return  # it looks for work before it leaves
    if not _has_work(step.session):
        step.set(wished_at=step.now)
    step.set_model(rests_until=0.0, woken_at=step.session.model.woken_at or step.now)
    if known not in ("starting", "full"):
        # An environment that is awake may be there at once or not at all: nobody knows how long.
        eta_s = None if known == "resting" else step.session.model.typical_s
        step.set_model(state="starting", message=None, eta_s=eta_s)
    if live:
        if known != step.session.model.state:
            step.post_status()
        return
    epoch = seat.epoch + 1
    step.set_seat(epoch=epoch, holder="", expires=step.now + limits().seat_s)
    if not quiet:
        step.post_status()
    step.actions.append(Invoke(epoch))


def wake(step: Step) -> None:
    """The listener's own wish: also after a failure."""
    session = step.session
    if session.seat.live(step.now):
        step.post_status()
        return
    if session.live is not None and session.live.status == "running":
        lose_holder(step)
    wait_s = _wait_s(step)
    if wait_s > 0:
        status = model_status(step.session, step.now)
        step.post(status.model_copy(update={"message": _not_yet(status.message, wait_s)}))
        return
    if session.model.state == "failed":
        step.set(retried_at=step.now)
        if session.phase is not Phase.STORY:
            step.tell(dialogue.cue(session.dialogue, "retrying"))
    call(step)


def _has_work(session: Session) -> bool:
    return session.live is not None or session.phase is Phase.AWAITING


def _wait_s(step: Step) -> float:
    """Seconds until a wish is granted; 0 or less: now. Every start costs, also one that is not used.

    The first try after a failure is free, and so is whatever the story itself waits for."""
    session = step.session
    if session.model.state == "failed":
        return session.retried_at + limits().retry_pause_s - step.now
    if waits(session):
        return 0.0
    return session.wished_at + limits().wake_pause_s - step.now


def _not_yet(message: str | None, wait_s: float) -> str:
    """What a listener is told whose wish is not granted. `message`: why the last start failed, if it has."""
    if message is not None:
        return f"{message} Try again in {wait_s:.0f} s."
    return (
        "The narrator was woken a while ago and not needed. It comes as soon as the story needs it; "
        f"just to wake it, try again in {max(1, round(wait_s / 60))} min."
    )


def begin_opening(step: Step, seed: int) -> None:
    """The opening scene, once: called by whichever of "prologue over" and "model ready" comes last."""
    session = step.session
    if session.phase is Phase.AWAITING:
        step.set(phase=Phase.STORY)
        opening = LiveTurn(turn_id=OPENING_TURN, number=session.turns, said="", seed=seed, created=step.now)
        turns.begin(step, opening)


def seated(step: Step) -> None:
    """A holder has come: the queue is over, and the start is on."""
    _leave_queue(step)
    if step.session.model.state not in ("starting", "loading", "ready"):
        woken_at = step.session.model.woken_at or step.now
        step.set_model(state="starting", message=None, woken_at=woken_at, eta_s=None)
        step.post_status()


def call_off(step: Step) -> None:
    """The waiting turn was stopped: a model that has not come is not wanted any more."""
    if not step.session.seat.holder and step.session.model.state in ("starting", "full"):
        rest(step, "cold")


def empty_seat(step: Step) -> None:
    """Spends the epoch: whoever had it, or comes late with it, is refused."""
    step.set_seat(epoch=step.session.seat.epoch + 1, holder="", expires=0.0)


def fail(step: Step, message: str, reason: str = "model_failed") -> None:
    """The model could not be woken: say so, in character and in plain words."""
    empty_seat(step)
    _leave_queue(step)
    step.set_model(state="failed", message=message, woken_at=0.0, eta_s=None)
    step.set(wished_at=0.0)  # it came to nothing, and that was not the listener's doing
    turns.end_live(step, "failed", reason)
    if step.session.phase is not Phase.STORY:
        step.tell(dialogue.cue(step.session.dialogue, "failed"))
    step.post_status()


def lose_holder(step: Step) -> None:
    """The holder died while it was telling a turn: what is stored of it stays."""
    empty_seat(step)
    turns.end_live(step, "incomplete", "lost")
    rest(step, "resting")


def invoke_failed(step: Step, event: InvokeFailed) -> None:
    """Only if that invocation still has the seat: a late report changes nothing."""
    session = step.session
    if event.epoch != session.seat.epoch or not session.seat.expires:
        return
    if session.live is not None and session.live.status == "running":
        lose_holder(step)
    elif not waits(session):
        empty_seat(step)
        rest(step, "cold")
    elif event.again and not session.seat.holder:
        empty_seat(step)  # the next settling calls again, until the start has taken too long
    else:
        fail(step, event.message)


def house_full(step: Step, event: HouseFull) -> None:
    """Nobody comes for this epoch: the session waits in the queue, and asks again with every settling."""
    session = step.session
    if event.epoch != session.seat.epoch or session.seat.holder or not session.seat.expires:
        return
    if waits(session) and event.place is None:
        no_place(step)
        return
    empty_seat(step)
    if event.place is None or not waits(session):
        return
    step.set(queued_at=session.queued_at or step.now, place=event.place)
    step.set_model(state="full", message=None, woken_at=0.0, eta_s=event.eta_s)
    if session.model.state != "full":
        step.post_status()
    elif session.place != event.place:
        step.post_place()


def no_place(step: Step) -> None:
    """Neither a slot nor a place in the queue: an honest end."""
    refusal = Refusal("house_full")
    if step.session.live is not None:
        step.post(error_frame(refusal))
    fail(step, refusal.message, refusal.code)


def rested(step: Step, event: Rested) -> None:
    """The day's model seconds are spent: the model rests, politely, until there are new ones.

    The prologue and the FAQ go on. No settling asks again before, but whatever the listener does next may."""
    seat, live = step.session.seat, step.session.live
    if event.epoch != seat.epoch or not seat.expires or (live is not None and live.status == "running"):
        return
    back = f"back at {datetime.fromtimestamp(event.until, UTC):%H:%M} UTC"
    whom = " with you" if event.own else ""
    refusal = Refusal("daily_cap", f"The narrator has talked enough{whom} for today; {back}.")
    if live is not None:
        step.post(error_frame(refusal))
    empty_seat(step)
    turns.end_live(step, "failed", refusal.code)
    step.set(wished_at=0.0)
    step.set_model(message=refusal.message, rests_until=event.until)
    rest(step, "resting")


def called(step: Step, event: Called) -> None:
    """A holder that has finished elsewhere comes by itself."""
    seat = step.session.seat
    if seat.live(step.now) or not waits(step.session):
        raise SeatLost("nothing waits here any more")
    step.set_seat(epoch=seat.epoch + 1, holder=event.holder, expires=step.now + limits().seat_s)
    step.set_model(rests_until=0.0)
    seated(step)


def choose(step: Step, event: ModelChosen) -> None:
    """Another model from here on. Whoever spoke for the old one is refused from now on."""
    session = step.session
    if event.name != session.model_name:
        if session.live is not None:
            raise Refusal("turn_running")
        if session.seat.expires:
            empty_seat(step)
        _leave_queue(step)
        step.set(model_name=event.name, model=Model(state=event.state, typical_s=event.typical_s))
        called_before = session.phase is not Phase.STORY and session.seat.epoch
        if called_before and (waits(session) or _wait_s(step) <= 0):
            call(step)  # in place of the old one
    step.post_status()


def _leave_queue(step: Step) -> None:
    if step.session.queued_at:
        step.set(queued_at=0.0, place=0)


def rest(step: Step, state: ModelStateName) -> None:
    """Nothing runs, nothing was asked for."""
    _leave_queue(step)
    step.set_model(state=state, woken_at=0.0, eta_s=None)
    step.post_status()
