"""One turn, from the moment it is begun to its terminal state."""

import logging
from typing import TYPE_CHECKING, NamedTuple

from lambda_image.delivery import Delivery
from lambda_image.holding import Holding
from lambda_image.narrator import Narrator, prompt
from session import telemetry
from session.events import Metrics, TurnStatus, Usage
from session.inputs import Began, Finished
from session.limits import limits
from session.prices import prices
from session.record import Session
from session.step import SeatLost

if TYPE_CHECKING:
    from lambda_image.engine.generation.reply import ReplyEnd

log = logging.getLogger(__name__)


class Bill(NamedTuple):
    """What a reply is charged for besides its own time."""

    memory_mb: int
    cold_start_s: float | None
    lingered_s: float


class Told(NamedTuple):
    session: Session
    tokens_per_s: float | None  # as measured, if there was enough to measure


@telemetry.traced("turn")
def tell(holding: Holding, narrator: Narrator, bill: Bill) -> Told:
    """Tells the waiting turn. Raises SeatLost."""
    tasks, started = holding.tasks, holding.tasks.monotonic()
    session = holding.apply(Began(epoch=holding.epoch))
    live = session.live
    if live is None:  # stopped in the last moment
        return Told(session, None)
    telemetry.about(turn_id=live.turn_id)
    messages = prompt(session, holding.turns(), live, holding.runner.world(session))
    delivery = Delivery(holding, session)
    late = holding.deadline - limits().deadline_s
    end: ReplyEnd | None = None
    delivery.start()
    try:
        for piece in narrator.reply(
            messages,
            max_tokens=limits().max_tokens,
            seed=live.seed,
            should_stop=lambda: delivery.should_stop() or tasks.monotonic() > late,
            continued=live.text,
        ):
            if piece.text:
                delivery.put(piece.text)
            end = piece.end or end
    except Exception:  # a reply that breaks ends its turn, not the environment
        log.exception("turn %s of session %s broke off", live.turn_id, holding.session_id)
    finally:
        delivery.finish()
    if delivery.reason == "seat_lost":
        raise SeatLost(f"turn {live.turn_id} went to somebody else")
    status, reason = _ending(end, delivery)
    done = Finished(
        epoch=holding.epoch,
        turn_id=live.turn_id,
        version=live.version,
        status=status,
        finish_reason=reason,
        usage=_usage(end),
        metrics=_metrics(end, tasks.monotonic() - started, bill),
    )
    return Told(holding.apply(done), end.metrics.decode_tokens_per_s if end else None)


def _ending(end: "ReplyEnd | None", delivery: Delivery) -> tuple[TurnStatus, str]:
    if delivery.reason == "stopped":
        return "stopped", "stopped"
    if delivery.reason is not None:
        return "incomplete", delivery.reason
    if end is None:
        return "failed", "error"
    if end.finish_reason == "cancelled":
        return "incomplete", "deadline"
    return "completed", end.finish_reason


def _usage(end: "ReplyEnd | None") -> Usage | None:
    if end is None:
        return None
    measured = end.metrics
    return Usage(
        prompt_tokens=measured.prompt_tokens,
        completion_tokens=measured.completion_tokens,
        kv_reused_tokens=measured.kv_reused_tokens,
        kv_lost_tokens=measured.kv_lost_tokens,
        dropped_turns=measured.dropped_turns + measured.budget_dropped_turns,
    )


def _metrics(end: "ReplyEnd | None", total_s: float, bill: Bill) -> Metrics | None:
    if end is None:
        return None
    measured, cold_s = end.metrics, bill.cold_start_s
    billed_s = total_s + (cold_s or 0.0) + bill.lingered_s
    return Metrics(
        cold_start_s=round(cold_s, 3) if cold_s is not None else None,
        prefill_s=round(measured.prefill_s, 4),
        ttft_s=round(measured.ttft_s or 0.0, 4),
        decode_s=round(measured.decode_s, 4),
        decode_tokens_per_s=round(measured.decode_tokens_per_s or 0.0, 2),
        total_s=round(total_s, 4),
        cost_usd=round(prices().compute(seconds=billed_s, memory_mb=bill.memory_mb), 8),
        energy_wh=round(prices().energy_wh(seconds=billed_s, memory_mb=bill.memory_mb), 6),
    )
