"""What the holder of the seat may do: the rules behind the model function."""

from prologue import dialogue
from session.events import TurnDone, TurnStarted
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


def apply(step: Step, event: HolderInput) -> None:
    seat = step.session.seat
    if event.epoch != seat.epoch:
        raise SeatLost(f"epoch {event.epoch} was followed by {seat.epoch}")
    if isinstance(event, Claimed):
        # Delivery is at least once: the first invocation to claim an epoch keeps it.
        if seat.holder not in ("", event.holder):
            raise SeatLost(f"epoch {seat.epoch} is held by {seat.holder}")
        step.set_seat(holder=event.holder)
    elif not seat.holder:
        raise SeatLost(f"epoch {seat.epoch} was released")
    step.set_seat(expires=step.now + limits().seat_s)
    match event:
        case Claimed() | Renewed():
            pass
        case Loading():
            _loading(step, event)
        case Ready():
            _ready(step, event)
        case LoadFailed():
            step.fail_model(event.message)
        case Began():
            _begin(step)
        case Finished():
            _finish(step, event)
        case Released():
            _release(step, event)
        case _:  # pragma: no cover - every input of a holder is above
            raise TypeError(event)


def _loading(step: Step, event: Loading) -> None:
    step.set_model(
        state="loading",
        loaded_bytes=event.loaded_bytes,
        total_bytes=event.total_bytes,
        eta_s=event.eta_s,
    )
    share = event.loaded_bytes / max(1, event.total_bytes)
    step.post_status()
    step.tell(dialogue.progress(step.session.dialogue, step.world, share, step.now))


def _ready(step: Step, event: Ready) -> None:
    waited = any(ref.startswith("fragment:") for ref in step.session.dialogue.log)
    step.set_model(state="ready", woken_at=0.0, eta_s=None, message=None)
    step.post_status()
    if step.session.phase is Phase.AWAITING:
        step.tell(dialogue.cue(step.session.dialogue, "ready" if waited else "ready_early"))
    step.begin_opening(event.seed)


def _begin(step: Step) -> None:
    live = step.session.live
    if live is None or live.status == "running":
        return
    step.set(live=live.model_copy(update={"status": "running"}))
    step.post(TurnStarted(turn_id=live.turn_id, version=live.version, source="model"))


def _finish(step: Step, event: Finished) -> None:
    live = step.session.live
    if live is None or (live.turn_id, live.version) != (event.turn_id, event.version):
        raise SeatLost(f"turn {event.turn_id} was ended by somebody else")
    step.finish_turn(
        TurnDone(
            turn_id=event.turn_id,
            version=event.version,
            status=event.status,
            finish_reason=event.finish_reason,
            length=live.length,
            usage=event.usage,
            metrics=event.metrics,
        )
    )


def _release(step: Step, event: Released) -> None:
    if event.work_seq != step.session.work_seq:
        return  # work came in between: stay
    step.set_seat(holder="", expires=0.0)
    step.set_model(state="resting")
    step.post_status()
