"""The two functions on Lambda as it behaves on a bad day: light invocations, and a few model environments."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from session.runner import UnknownSession
from session.store import Conflict, StoreBusy
from tests.sim.chaos import Chaos
from tests.sim.clockwork import Clockwork, Host
from tests.sim.witness import SKEW_S, Witness

if TYPE_CHECKING:
    from lambda_image.service import ModelService
    from prologue.service import PrologueService

EVENT_AGE_S = 60.0  # older events are reported as failed
LOOK_S = 1.0  # how often Lambda tries again to place an event


class LightFunction:
    """Every event gets an invocation of its own, at once.

    Args:
        service: the product's service on that host.
    """

    def __init__(
        self,
        clockwork: Clockwork,
        chaos: Chaos,
        witness: Witness,
        service: Callable[[Host], "PrologueService"],
    ) -> None:
        self._witness = witness
        self._clockwork = clockwork
        self._chaos = chaos
        self._service = service
        self._count = 0
        self._skews = [draw_skew(chaos) for _ in range(2)]

    def invoke(self, work: Callable[["PrologueService"], None]) -> None:
        self._count += 1
        host = Host(self._clockwork, f"light-{self._count}", self._chaos.random.choice(self._skews))

        def invoke() -> None:
            try:
                work(self._service(host))
            except (StoreBusy, Conflict, UnknownSession):  # as the handler does: nobody waits for an answer
                pass
            except Exception as error:
                self._witness.accuse(f"{host.name} failed: {error!r}")

        host.spawn("invoke", invoke)


@dataclass(frozen=True)
class Event:
    session_id: str
    epoch: int
    request_id: str
    since: float


@dataclass(eq=False)
class Environment:
    host: Host
    service: "ModelService"
    event: Event | None = None  # being served
    invocations: int = 0
    left: list[str] = field(default_factory=list)


class ModelFunction:
    """Args:
    service: the product's service in a new environment; whether its model is awake already.
    failed: brings a failure record to the light function.
    limit_s: how long an invocation may last.
    """

    def __init__(
        self,
        name: str,
        clockwork: Clockwork,
        chaos: Chaos,
        witness: Witness,
        *,
        service: Callable[[Host], "ModelService"],
        failed: Callable[[Event, str], None],
        environments: int,
        limit_s: float,
    ) -> None:
        self.name = name
        self._witness = witness
        self._clockwork = clockwork
        self._chaos = chaos
        self._service = service
        self._failed = failed
        self._allowed = environments
        self._limit_s = limit_s
        self._events = 0
        self._started = 0
        self.environments: list[Environment] = []
        self.ended: Callable[[Host], None] = lambda host: None

    def take(self, session_id: str, epoch: int) -> None:
        """An event was taken: it will be served some time, perhaps twice, perhaps never."""
        chaos, random = self._chaos, self._chaos.random
        self._events += 1
        event = Event(session_id, epoch, f"{self.name}-r{self._events}", self._clockwork.now)
        if chaos.hit("invoke_lost"):
            return
        for _ in range(2 if chaos.hit("invoke_twice") else 1):
            late = random.choice((2.0, 20.0, 100.0)) if chaos.hit("invoke_late") else 0.0
            self._clockwork.after(late + 0.03 + 0.1 * random.random(), partial(self._place, event))

    def _place(self, event: Event) -> None:
        environment = self._free()
        if environment is not None:
            self._serve(environment, event)
        elif self._clockwork.now - event.since > EVENT_AGE_S:
            self._report(event, "EventAgeExceeded")
        else:
            self._clockwork.after(LOOK_S, partial(self._place, event))

    def _free(self) -> Environment | None:
        idle = [e for e in self.environments if e.event is None]
        if idle and self._chaos.hit("reclaimed"):
            gone = idle.pop()
            self.environments.remove(gone)
            gone.host.on_death = lambda: None
            gone.host.die()
        if idle:
            return idle[0]
        if len(self.environments) >= self._allowed:
            return None
        self._started += 1
        host = Host(self._clockwork, f"model-{self.name}-{self._started}", draw_skew(self._chaos))
        environment = Environment(host, self._service(host))
        self.environments.append(environment)
        return environment

    def _serve(self, environment: Environment, event: Event) -> None:
        host = environment.host
        environment.event = event
        environment.invocations += 1
        if host.frozen:
            host.thaw()
        host.on_death = partial(self._died, environment)
        deadline = self._clockwork.now + self._limit_s
        number = environment.invocations
        self._witness.payroll.begins(host, event.session_id, self._limit_s)
        self._clockwork.after(self._limit_s, lambda: self._time_out(environment, number))

        def serve() -> None:
            try:
                environment.service.serve(
                    event.session_id,
                    event.epoch,
                    holder=event.request_id,
                    deadline=deadline,
                    memory_mb=10_240,
                )
            except StoreBusy:
                self._report(event, "RetriesExhausted")
            except Exception as error:
                self._witness.accuse(f"{host.name} failed: {error!r}")
            environment.event = None
            self._witness.payroll.ends(host)
            host.freeze()
            self.ended(host)

        host.spawn("invoke", serve)

    def _time_out(self, environment: Environment, number: int) -> None:
        host = environment.host
        if environment.event is not None and environment.invocations == number and not host.dead:
            if not host.struck and host.hindered < self._clockwork.now - self._limit_s:
                self._witness.accuse(f"{host.name} ran into the end of its invocation")
            host.die()

    def _died(self, environment: Environment) -> None:
        self._witness.payroll.ends(environment.host)
        self.environments.remove(environment)
        if environment.event is not None:
            self._report(environment.event, "RetriesExhausted")

    def _report(self, event: Event, condition: str) -> None:
        chaos, random = self._chaos, self._chaos.random
        if chaos.hit("report_lost"):
            return
        for _ in range(2 if chaos.hit("report_twice") else 1):
            late = random.choice((5.0, 60.0)) if chaos.hit("report_late") else 0.0
            self._clockwork.after(late + 0.2, partial(self._failed, event, condition))


def draw_skew(chaos: Chaos) -> float:
    return chaos.random.choice((0.0, 0.0, chaos.random.uniform(-SKEW_S / 2, SKEW_S / 2)))
