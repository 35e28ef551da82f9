"""What the holder of the seat may do: the rules behind the model function."""

from prologue import dialogue
from session import starts, turns
from session.events import TurnDelta, TurnDone, TurnStarted
from session.inputs import (
    Began,
    Claimed,
    Finished,
    HolderInput,
    LoadFailed,
    Loading,
    Ready,
    Released,
    Renewed,
)
from session.limits import limits
from session.record import Phase
from session.step import SeatLost, Step

_DELTA_CHARS = 5000  # of text told before; in JSON a character takes 6 bytes at most, a frame 32 KB


def apply(step: Step, event: HolderInput) -> None:
    seat = step.session.seat
    if event.epoch != seat.epoch:
        raise SeatLost(f"epoch {event.epoch} was followed by {seat.epoch}")
    if isinstance(event, Claimed):
        # Delivery is at least once: the first invocation to claim an epoch keeps it.
        if seat.holder not in ("", event.holder) or not seat.expires:
            raise SeatLost(f"epoch {seat.epoch} is held by {seat.holder or 'nobody any more'}")
        step.set_seat(holder=event.holder)
    elif not seat.holder:
        raise SeatLost(f"epoch {seat.epoch} was released")
    step.set_seat(expires=step.now + limits().seat_s)
    match event:
        case Claimed():
            starts.seated(step)
        case Renewed():
            pass
        case Loading():
            _loading(step, event)
        case Ready():
            _ready(step, event)
        case LoadFailed():
            starts.fail(step, event.message)
        case Began():
            _begin(step)
        case Finished():
            _finish(step, event)
        case Released():
            _release(step, event)
        case _:  # pragma: no cover - every input of a holder is above
            raise TypeError(event)


def _loading(step: Step, event: Loading) -> None:
    if not event.total_bytes:
        return  # there is nothing to read, and the load will say so
    step.set_model(
        state="loading",
        loaded_bytes=event.loaded_bytes,
        total_bytes=event.total_bytes,
        eta_s=event.eta_s,
    )
    share = event.loaded_bytes / event.total_bytes
    step.post_status()
    told = step.session.dialogue
    step.tell(dialogue.progress(told, step.world, share, step.now, event.eta_s))


def _ready(step: Step, event: Ready) -> None:
    waited = any(ref.startswith("fragment:") for ref in step.session.dialogue.log)
    step.set_model(state="ready", woken_at=0.0, eta_s=None, message=None)
    step.post_status()
    if step.session.phase is Phase.AWAITING:
        step.tell(dialogue.cue(step.session.dialogue, "ready" if waited else "ready_early"))
    starts.begin_opening(step, event.seed)


def _begin(step: Step) -> None:
    """Also told again if the answer to the first write was lost."""
    live = step.session.live
    if live is None:
        return
    step.set(live=live.model_copy(update={"status": "running"}), wished_at=0.0)
    step.post(TurnStarted(turn_id=live.turn_id, version=live.version, source="model"))
    before = live.text[: live.continued]
    for offset in range(0, len(before), _DELTA_CHARS):
        text = before[offset : offset + _DELTA_CHARS]
        step.post(TurnDelta(turn_id=live.turn_id, version=live.version, offset=offset, text=text))


def _finish(step: Step, event: Finished) -> None:
    session, live = step.session, step.session.live
    ended = (event.turn_id, event.version)
    if live is not None and (live.turn_id, live.version) == ended:
        done = TurnDone(
            turn_id=event.turn_id,
            version=event.version,
            status=event.status,
            finish_reason=event.finish_reason,
            length=live.length,
            usage=event.usage,
            metrics=event.metrics,
        )
        turns.finish(step, done)
    elif session.last_done is not None and (session.last_done.turn_id, session.last_done.version) == ended:
        step.post(session.last_done)  # the answer to the first write was lost
    else:
        raise SeatLost(f"turn {event.turn_id} was ended by somebody else")


def _release(step: Step, event: Released) -> None:
    if event.work_seq != step.session.work_seq:
        return  # work came in between: stay
    if step.session.live is not None and step.session.live.status == "running":
        starts.lose_holder(step)  # it leaves in mid-reply
        return
    step.set_seat(holder="", expires=0.0)
    starts.rest(step, "resting")
