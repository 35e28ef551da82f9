"""Virtual time: work that runs in greenlets, one at a time, on hosts that can pause, freeze and die.

The product's code is plain blocking code. Here every wait of it is a switch to the clockwork, which runs
whatever is due next; two seconds of a story take no time at all, and the same seed gives the same story.
"""

import heapq
import itertools
from collections.abc import Callable
from functools import partial

from greenlet import GreenletExit, getcurrent, greenlet

EPOCH = 1_760_000_000.0  # when all stories begin


class Clockwork:
    """What is due, in order. `now` is in seconds since `epoch`; `hub` is the greenlet that calls `run`."""

    def __init__(self, epoch: float = EPOCH) -> None:
        self.now = 0.0
        self.epoch = epoch
        self.hub = getcurrent()
        self.hosts: list[Host] = []  # with work
        self.running: Work | None = None
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._until = 0.0

    def after(self, seconds: float, work: Callable[[], None]) -> None:
        heapq.heappush(self._due, (self.now + seconds, next(self._order), work))

    def run(self, until: float) -> None:
        """Runs whatever is due before `until`."""
        due, self._until = self._due, until
        while due and due[0][0] <= until:
            self.now, _, work = heapq.heappop(due)
            work()
        self.now = max(self.now, until)

    def skip(self, seconds: float) -> bool:
        """Lets so much time pass if nothing else is due meanwhile; else nobody knows who comes first."""
        then = self.now + seconds
        if then > self._until or (self._due and self._due[0][0] <= then):
            return False
        self.now = then
        return True

    def end(self) -> None:
        """Ends all work wherever it is: nothing of it stays in memory."""
        self._due.clear()
        for host in list(self.hosts):
            host.dead = True
            for work in list(host.works):
                work.end()


class Work:
    """A piece of the product's work in its greenlet: an invocation, or what `Tasks.spawn` began beside it."""

    def __init__(self, host: "Host", name: str, work: Callable[[], None]) -> None:
        self.host = host
        self.name = name
        self.over = False
        self.ticket = 0  # of the wait that it is in: whoever comes with an older one comes too late
        self.joining: list[tuple[Work, int]] = []
        self._work = work
        self.greenlet = greenlet(self._run, host.clockwork.hub)

    def _run(self) -> None:
        try:
            self._work()
        finally:
            self._leave()

    def _leave(self) -> None:
        if not self.over:
            self.over = True
            self.host.works.remove(self)
            if not self.host.works:
                self.host.clockwork.hosts.remove(self.host)
            for other, ticket in self.joining:
                self.host.clockwork.after(0.0, partial(other.resume, ticket))

    def end(self) -> None:
        """Unwinds it, on a dead host."""
        if not self.over:
            self.host.clockwork.running = self
            self.greenlet.throw(GreenletExit)
            self.host.clockwork.running = None
            self._leave()  # had it not begun yet

    def resume(self, ticket: int) -> None:
        """Goes on, if it still is in that wait; later, if its host is frozen."""
        if self.over or ticket != self.ticket:
            return
        if self.host.frozen:
            self.host.held.append((self, ticket))
        else:
            clockwork = self.host.clockwork
            clockwork.running = self
            self.greenlet.switch()
            clockwork.running = None

    def join(self, timeout: float | None = None) -> bool:
        me = self.host.current()
        if not self.over:
            self.joining.append((me, me.ticket + 1))
            me.wait(timeout)
        return self.over

    def wait(self, seconds: float | None) -> None:
        """Lets others run, until somebody resumes this work or the time is up."""
        host = self.host
        host.breathe()
        self.ticket += 1
        ticket = self.ticket
        if seconds is not None:
            host.clockwork.after(seconds, partial(self.resume, ticket))
        host.clockwork.hub.switch()
        self.ticket += 1
        host.breathe()


class Host:
    """One environment of a function: its clock, its work, and whether it is alive. Is a `Tasks`.

    Args:
        skew: how far its clock is off, in seconds.
    """

    def __init__(self, clockwork: Clockwork, name: str, skew: float = 0.0) -> None:
        self.clockwork = clockwork
        self.name = name
        self.is_model = name.startswith("model")
        self.began = clockwork.now
        self.skew = skew
        self.dead = False
        self.frozen = 0  # how many reasons there are
        self.works: list[Work] = []
        self.held: list[tuple[Work, int]] = []
        self.struck = False  # by a fault that may make its work fail
        self.hindered = 0.0  # until when faults hold it up
        self.hindered_since = 0.0
        self.on_death: Callable[[], None] = lambda: None

    def current(self) -> Work:
        me = self.clockwork.running
        assert me is not None
        return me

    def breathe(self) -> None:
        """Dead hosts do nothing more: what their code would do for tidiness ends here."""
        if self.dead:
            raise GreenletExit

    def die(self) -> None:
        """Ends all its work where it stands. Does not return if called from that work."""
        if self.dead:
            return
        self.dead = True
        me = self.clockwork.running
        for work in self.works:
            if work is not me:
                self.clockwork.after(0.0, work.end)
        self.clockwork.after(0.0, self.on_death)
        if me in self.works:
            raise GreenletExit

    def freeze(self) -> None:
        self.frozen += 1

    def thaw(self) -> None:
        self.frozen -= 1
        if self.frozen:
            return
        held, self.held = self.held, []
        for work, ticket in held:
            self.clockwork.after(0.0, partial(work.resume, ticket))

    def clock(self) -> float:
        """Epoch seconds, as this host believes."""
        return self.clockwork.epoch + self.clockwork.now + self.skew

    def stall(self, seconds: float) -> None:
        """A fault: everything on this host stands still for so long."""
        self.hinder(seconds)
        self.freeze()
        self.clockwork.after(seconds, self.thaw)
        self.sleep(0.0)

    def dawdle(self, seconds: float) -> None:
        """A fault: this piece of work waits for so long."""
        self.hinder(seconds)
        self.sleep(seconds)

    def hinder(self, seconds: float) -> None:
        """A fault holds its work up for so long."""
        now = self.clockwork.now
        if now > self.hindered + 1.0:  # else it is one hindrance after the other
            self.hindered_since = now
        self.hindered = max(self.hindered, now + seconds)

    # ---- Tasks ----

    def monotonic(self) -> float:
        return self.clockwork.now

    def sleep(self, seconds: float) -> None:
        me, seconds = self.current(), max(0.0, seconds)
        self.breathe()
        if self.frozen or not self.clockwork.skip(seconds):
            me.wait(seconds)

    def spawn(self, name: str, work: Callable[[], None]) -> Work:
        self.breathe()
        begun = Work(self, name, work)
        if not self.works:
            self.clockwork.hosts.append(self)
        self.works.append(begun)
        self.clockwork.after(0.0, partial(begun.resume, 0))
        return begun

    def signal(self) -> "Bell":
        return Bell(self)


class Bell:
    """A `Signal`: wakes one waiter; rung too early, it is heard all the same."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._rung = False
        self._waiting: tuple[Work, int] | None = None

    def wait(self, timeout: float) -> None:
        if not self._rung:
            me = self._host.current()
            self._waiting = (me, me.ticket + 1)
            me.wait(timeout)
            self._waiting = None
        self._rung = False

    def notify(self) -> None:
        self._rung = True
        if self._waiting is not None:
            work, ticket = self._waiting
            self._host.clockwork.after(0.0, partial(work.resume, ticket))
