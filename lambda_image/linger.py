"""After a reply: the invocation stays open for the next turn of its session, with everything in memory."""

import logging

from lambda_image.holding import Holding
from session.inputs import Renewed
from session.limits import limits
from session.prices import prices
from session.record import Session

log = logging.getLogger(__name__)


def linger(holding: Holding, session: Session, *, memory_mb: int) -> tuple[Session, float]:
    """Keeps the seat for at most `linger_s`; returns the record as last seen, and the seconds it took.

    Ends as soon as there is work or the listener has left, and before the invocation has too little time left
    for a turn. Raises SeatLost.
    """
    tasks = holding.tasks
    began = renewed = tasks.monotonic()
    until = min(began + limits().linger_s, holding.deadline - limits().seat_s)
    found = session
    while found.work_seq == session.work_seq and found.connection_id and tasks.monotonic() < until:
        tasks.sleep(limits().linger_poll_s)
        holding.slot.keep()
        if tasks.monotonic() - renewed >= limits().renew_s:
            found = holding.apply(Renewed(epoch=holding.epoch))
            renewed = tasks.monotonic()
        else:
            found = holding.look()
    seconds = max(tasks.monotonic() - began, 1e-9)
    log.info(
        "lingered %.1f s for %s: USD %.6f, at %.4f a minute",
        seconds,
        "nothing" if found.work_seq == session.work_seq else "the next turn",
        prices().compute(seconds=seconds, memory_mb=memory_mb),
        prices().compute(seconds=60, memory_mb=memory_mb),
    )
    return found, seconds
