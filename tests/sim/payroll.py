"""Who is paid for which session, how long, and out of which purse: environments cost while they work."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

from session.caps import DAY_S, STACK, Caps
from session.limits import limits
from session.record import Session
from tests.sim.clockwork import Host

BOOKED_WITHIN_S = 1.0
LATE_S = 10.0  # so much later than it is due something may be booked
Purse = tuple[str, int]  # and the day


@dataclass
class Job:
    """One invocation of a model environment."""

    host: Host
    session_id: str  # that it works for
    since: float
    deadline: float
    seated: bool = False  # it has had a seat: its time is booked


class Payroll:
    def __init__(self) -> None:
        self.caps = Caps()
        self.full_since: dict[Purse, float] = {}
        self.jobs: dict[str, Job] = {}  # by host
        self.paid_s = 0.0  # for all invocations
        self.worked_s = 0.0  # by those that had a seat
        self.lost_s = 0.0  # of them, what a fault may have left unbooked
        self._together: dict[tuple[str, str, str], float] = {}  # by session and two hosts, since when

    def begins(self, host: Host, session_id: str, limit_s: float) -> None:
        now = host.monotonic()
        self.jobs[host.name] = Job(host, session_id, now, now + limit_s)

    def seated(self, host: Host, session_id: str) -> None:
        job = self.jobs[host.name]
        job.session_id, job.seated = session_id, True

    def ends(self, host: Host) -> None:
        job = self.jobs.pop(host.name, None)
        if job is None:
            return
        spent_s = host.monotonic() - job.since
        self.paid_s += spent_s
        if job.seated:
            self.worked_s += spent_s
            if host.struck or host.hindered > job.since:
                self.lost_s += spent_s
            elif host.dead:
                self.lost_s += min(spent_s, limits().booking_s + LATE_S)

    def left_s(self, host: Host) -> float:
        return self.jobs[host.name].deadline - host.monotonic()

    def paid_twice(self, now: float) -> list[str]:
        """The sessions that two environments have been working for at a time, for longer than a seat may be
        silent. One that a fault holds up can't know."""
        together: dict[tuple[str, str, str], float] = {}
        working = [job for job in self.jobs.values() if not job.host.frozen and job.host.hindered <= now]
        for one, other in combinations(working, 2):
            if one.session_id == other.session_id:
                key = (one.session_id, one.host.name, other.host.name)
                hindered = max(one.host.hindered, other.host.hindered, one.since, other.since)
                together[key] = max(self._together.get(key, now), hindered)
        self._together = together
        return [
            f"{one} and {other} are both paid for {session_id} since {now - since:.0f} s"
            for (session_id, one, other), since in together.items()
            if now - since > limits().seat_s
        ]

    def booked(self, purses: Mapping[Purse, float], now: float) -> None:
        """A booking was stored. `purses`: what was spent of each by now."""
        caps = {STACK: self.caps.stack}
        for purse, spent in purses.items():
            if spent >= (caps.get(purse[0], self.caps.address) or math.inf):
                self.full_since.setdefault(purse, now)

    def spent_since(self, session: Session, clock: float) -> float | None:
        """Since when this session's day is over, if it is."""
        today = int(clock // DAY_S)
        since = [self.full_since.get((purse, today)) for purse in self.caps.purses(session)]
        return min((at for at in since if at is not None), default=None)

    def misbooked(self, purses: Mapping[Purse, float], *, exactly: bool) -> str | None:
        """What is wrong with the books, if anything is. `exactly`: no request to the table was repeated."""
        if not self.caps.stack:
            return None
        booked_s = sum(spent for (purse, _), spent in purses.items() if purse == STACK)
        missing_s = self.worked_s - booked_s
        if missing_s > self.lost_s + BOOKED_WITHIN_S:
            return f"{self.worked_s:.1f} model seconds were worked, and only {booked_s:.1f} s booked"
        if exactly and booked_s > self.paid_s + BOOKED_WITHIN_S:  # what came to nothing is the next one's
            return f"{self.paid_s:.1f} model seconds were paid for, and {booked_s:.1f} s booked"
        return None
