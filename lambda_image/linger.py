"""After a reply: the invocation stays open for the next turn of its session, with everything in memory."""

import logging
import time

from session.inputs import Renewed
from session.limits import limits
from session.prices import prices
from session.record import Session
from session.runner import Runner
from session.step import SeatLost

log = logging.getLogger(__name__)


def linger(runner: Runner, session: Session, *, deadline: float, memory_mb: int) -> tuple[Session, float]:
    """Keeps the seat for at most `linger_s`; returns the record as last seen, and the seconds it took.

    Ends as soon as there is work or the listener has left, and before the invocation has too little time left
    for a turn. `deadline` is in monotonic seconds. Raises SeatLost.
    """
    began = renewed = time.monotonic()
    until = min(began + limits().linger_s, deadline - limits().seat_s)
    found, epoch = session, session.seat.epoch
    while found.work_seq == session.work_seq and found.connection_id and time.monotonic() < until:
        time.sleep(limits().linger_poll_s)
        if time.monotonic() - renewed >= limits().renew_s:
            found = runner.apply(session.session_id, Renewed(epoch=epoch))
            renewed = time.monotonic()
            continue
        stored = runner.store.load(session.session_id, runner.clock())
        if stored is None or stored.seat.epoch != epoch:
            raise SeatLost("the seat went to somebody else while nothing was told")
        found = stored
    seconds = max(time.monotonic() - began, 1e-9)
    log.info(
        "lingered %.1f s for %s: USD %.6f, at %.4f a minute",
        seconds,
        "nothing" if found.work_seq == session.work_seq else "the next turn",
        prices().compute(seconds=seconds, memory_mb=memory_mb),
        prices().compute(seconds=60, memory_mb=memory_mb),
    )
    return found, seconds
