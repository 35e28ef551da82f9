"""One schedule: a house with listeners, functions and a table, driven by a seed; and what was wrong in it."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from random import Random
from unittest.mock import patch

from lambda_image import linger, visit
from lambda_image.narrator import Message
from lambda_image.service import ModelService
from lambda_image.waking import SleepingModel
from prologue.service import PrologueService
from session.limits import limits
from session.record import Session
from session.runner import InvokeRefused, Runner
from tests.fakes import MemoryStore
from tests.sim import verdict
from tests.sim.chaos import BETWEEN, DOWN_S, Chaos, draw_rates
from tests.sim.clockwork import EPOCH, Clockwork, Host
from tests.sim.functions import Event, LightFunction, ModelFunction
from tests.sim.gateway import Gateway, Posts
from tests.sim.listener import Listener
from tests.sim.narrator import Numbers, Weights, draw_pace
from tests.sim.offer import OFFER, QUESTIONS, world
from tests.sim.table import Table
from tests.sim.themes import THEMES, draw_theme
from tests.sim.witness import LEISURE_S, Witness

MODELS = ("demo", "other")
SETTLED_S = 1500.0  # whatever happened, so long after the last fault everything has ended
MIDNIGHT = 1_760_054_400.0  # the first one (UTC) after the stories' usual time


@dataclass(frozen=True)
class Result:
    seed: int
    faults: int
    violations: tuple[str, ...]
    trace: tuple[str, ...] = ()


class Simulation:
    """Args:
    theme: one of `THEMES`; None draws one.
    rates: of faults; None draws them, too.
    """

    def __init__(
        self,
        seed: int,
        theme: str | None = None,
        rates: dict[str, float] | None = None,
        *,
        traced: bool = False,
    ) -> None:
        self.random = Random(seed)
        random = self.random
        drawn = draw_theme(random)
        self.theme = THEMES[theme or drawn]
        self.clockwork = Clockwork(MIDNIGHT - random.uniform(0, 120) if random.random() < 0.1 else EPOCH)
        self.chaos = Chaos(random, draw_rates(random, self.theme.rates) if rates is None else rates)
        self.witness = Witness(self.clockwork)
        self.witness.trace = [] if traced else None
        self.witness.payroll.caps = self.theme.caps
        self.witness.note("theme", theme or drawn)
        self.memory = MemoryStore()
        self.gateway = Gateway(self.clockwork, self.chaos, self.witness)
        self.pace = draw_pace(random, self.theme)
        self.witness.room_s = max(limits().turn_room_s, limits().max_tokens * self.pace.token_s + 30.0)
        self.places = random.choice((1, 1, 2))
        self.light = LightFunction(self.clockwork, self.chaos, self.witness, self._prologue)
        self.models = {name: self._function(name) for name in MODELS}
        self.witness.is_open = self._is_open
        self.witness.line_of = self.gateway.connections.get
        self.gateway.message = self._message
        self.gateway.disconnected = self._disconnected
        signs_in = random.random() < 0.3
        self.listeners = [
            self.listener(f"l{i}", subject=f"s{i}" if signs_in else None)
            for i in range(random.choice((1, 1, 2, 3)))
        ]
        lingering = limits().model_copy(update={"linger_s": self.theme.linger_s})
        self._patched = ExitStack()
        for module in (visit, linger):
            self._patched.enter_context(patch.object(module, "limits", lambda: lingering))
        self._calm_since = 0.0
        self._still = False
        self._hits = 0
        self._watch()

    # ---- the house ----

    def _runner(self, host: Host, *, invokes: bool) -> Runner:
        return Runner(
            store=Table(host, self.memory, self.chaos, self.witness),
            poster=Posts(host, self.gateway),
            worlds=world,
            clock=host.clock,
            models=MODELS,
            offer=OFFER,
            environments=self.places,
            caps=self.theme.caps,
            invoke=partial(self._invoke, host) if invokes else None,
        )

    def _prologue(self, host: Host) -> PrologueService:
        runner = self._runner(host, invokes=True)
        return PrologueService(
            runner, matcher=lambda world, language: QUESTIONS, tokens=self._token, seeds=self._seed
        )

    def _token(self, size: int) -> str:
        return f"{self.random.getrandbits(8 * size):0{2 * size}x}"

    def _seed(self) -> int:
        return self.random.randrange(2**31)

    def _function(self, name: str) -> ModelFunction:
        function = ModelFunction(
            name,
            self.clockwork,
            self.chaos,
            self.witness,
            service=self._model,
            failed=self._failed,
            environments=self.places,
            limit_s=self.random.choice((900.0, 900.0, 200.0)),
        )
        function.ended = partial(self._left, name)
        return function

    def _left(self, name: str, host: Host) -> None:
        """An invocation is over: it holds no slot any more."""
        seats = self.witness.minds[host.name].seats
        for session_id, slot in self.memory.load_house(name).slots.items():
            if session_id in seats and seats[session_id][0] == slot.epoch and not host.struck:
                self.witness.accuse(f"{host.name} has left, and keeps the slot of {session_id}")

    def _model(self, host: Host) -> ModelService:
        pace = self.pace
        narrator = Numbers(host, self.chaos, self.witness, pace, self._reads)

        def load() -> Numbers:
            host.sleep(pace.load_s)
            if self.chaos.hit("load_fails"):
                raise RuntimeError("weights.bin is damaged (injected)")
            return narrator

        model = SleepingModel(load, Weights(host, pace.load_s), host.monotonic(), tasks=host)
        if self.random.random() < 0.5:  # somebody else has been served here
            model.narrator = narrator
        return ModelService(self._runner(host, invokes=False), model, tasks=host, seeds=self._seed)

    def _reads(self, host: Host, messages: Sequence[Message], continued: str) -> None:
        version = self.witness.minds[host.name].telling
        session = self.memory.heads.get(version[0]) if version else None
        if version and session:
            verdict.prompt(self.witness, session, version, messages, continued)

    def _invoke(self, host: Host, session: Session, epoch: int) -> None:
        host.sleep(0.02)
        since = self.witness.payroll.spent_since(session, host.clock())
        if since is not None and self.clockwork.now > max(since, host.hindered) + LEISURE_S:
            self.witness.accuse(f"{host.name} invokes for {session.session_id}, whose day is over")
        if self.chaos.hit("invoke_refused"):
            raise InvokeRefused("injected", again=self.random.random() < 0.5)
        self.models[session.model_name].take(session.session_id, epoch)
        if self.chaos.hit("invoke_refused_yet_taken"):
            raise InvokeRefused("injected, yet taken", again=self.random.random() < 0.5)

    # ---- events of the light function ----

    def _message(self, connection_id: str, body: str) -> None:
        self.witness.note(connection_id, body)
        line = self.gateway.connections[connection_id].line
        self.light.invoke(
            lambda service: service.message(connection_id, body, address=line.address, subject=line.subject)
        )

    def _disconnected(self, connection_id: str) -> None:
        self.light.invoke(lambda service: service.disconnected(connection_id))

    def _failed(self, event: Event, condition: str) -> None:
        self.witness.note("lambda", f"{event} {condition}")
        again = condition == "EventAgeExceeded"
        self.light.invoke(
            lambda service: service.invoke_failed(event.session_id, event.epoch, condition, again=again)
        )

    def _is_open(self, connection_id: str, session_id: str) -> bool:
        """Whether the gateway knows the connection, and the table says that it is this session's."""
        bound = self.memory.connections.get(connection_id)
        known = self.gateway.connections[connection_id].known
        latest = self.witness.sessions_at[connection_id][-1:] == [session_id]  # else it goes to another world
        return known and latest and bound is not None and bound.session_id == session_id

    # ---- listeners ----

    def listener(self, name: str, like: Listener | None = None, *, subject: str | None = None) -> Listener:
        """A new client; `like` somebody: with the keys of their story."""
        return Listener(
            name,
            self.gateway,
            self.witness,
            self.random,
            self.theme,
            like.keys() if like else None,
            address=like.address if like else f"192.0.2.{name[1:]}",
            subject=subject,
        )

    def join(self, like: Listener, *, subject: str | None) -> None:
        """The same listener at another client; with another `subject` it is a thief, who has the keys."""
        self.listeners.append(self.listener(f"l{len(self.listeners)}", like, subject=subject))

    def _watch(self) -> None:
        """Once a second: what the network does by itself, and what must be seen by now."""
        self.clockwork.after(10.0 if self._still else 1.0, self._watch)
        if self.chaos.hit("table_down"):
            self.chaos.down_until = self.clockwork.now + self.random.choice(DOWN_S)
        if self.clockwork.now < self.chaos.down_until:
            self._calm_since = self.clockwork.now
        for crime in self.witness.payroll.paid_twice(self.clockwork.now):
            self.witness.accuse(crime)
        hits = sum(self.chaos.hits[kind] for kind in BETWEEN)
        if hits != self._hits:
            self._hits, self._calm_since = hits, self.clockwork.now
        for listener in self.listeners:
            if listener.connection is None or listener.gone:
                continue
            if listener.connected:
                verdict.overdue(self.witness, listener, self._calm_since)
            if self.chaos.hit("cut"):
                self.gateway.close(listener.connection)
            elif self.chaos.hit("half_open"):
                self.gateway.half_open(listener.connection)

    # ---- a schedule ----

    def run(self, seconds: float) -> None:
        """Until then, or until something is wrong."""
        until = self.clockwork.now + seconds
        while self.clockwork.now < until and not self.witness.found:
            self.clockwork.run(min(until, self.clockwork.now + 1.0))

    def act(self) -> None:
        """The part in which everything happens."""
        random = self.random
        for _ in range(random.choice((1, 2, 3))):
            self.run(random.uniform(*self.theme.lasts_s))
            listener = random.choice(self.listeners)
            chance = random.random()
            if chance < 0.15:
                listener.leave()
            elif chance < 0.35 and not listener.gone and listener.story.resume_key:
                thief = listener.subject is not None and random.random() < 0.3
                self.join(listener, subject="thief" if thief else listener.subject)
        if self.theme.still_s:
            self._stillness(random.choice(self.theme.still_s))

    def _stillness(self, seconds: float) -> None:
        """Nobody does anything for long, and nothing goes wrong; then it all goes on for a while."""
        self._be_still(True)
        self.run(seconds)
        self._be_still(False)
        self.run(40.0)

    def _be_still(self, still: bool) -> None:
        self._still, self.chaos.on = still, not still
        for listener in self.listeners:
            listener.still = still

    def settle(self) -> None:
        """Nothing goes wrong any more; those who are there stay and listen: now all must end well."""
        self.chaos.calm()
        self._calm_since = self.clockwork.now
        for listener in self.listeners:
            listener.settle()
        until, models = self.clockwork.now + SETTLED_S, list(self.models.values())
        while self.clockwork.now < until and not self.witness.found:
            self.run(5.0)
            if not verdict.unquiet(self.memory, self.listeners, models, self.clockwork):
                break
        for left in verdict.unquiet(self.memory, self.listeners, models, self.clockwork):
            self.witness.accuse(f"still not quiet: {left}")
        if not self.witness.found:
            self._audit()
            verdict.leftovers(self.witness, self.memory)
            for listener in self.listeners:
                if not listener.gone:
                    verdict.compare(self.witness, self.memory, listener)

    def _audit(self) -> None:
        """The books, now that nobody works."""
        repeated = sum(self.chaos.hits[kind] for kind in ("answer_lost", "answer_lost_for_good"))
        if wrong := self.witness.payroll.misbooked(self.memory.purses, exactly=not repeated):
            self.witness.accuse(wrong)

    def close(self) -> None:
        """Ends what still runs, so that nothing of it is left in this process."""
        self._patched.close()
        self.chaos.calm()
        for listener in self.listeners:
            listener.leave()
        self.clockwork.end()


def play(seed: int, theme: str | None = None, *, traced: bool = False) -> Result:
    """One schedule from its seed; `theme` as for `Simulation`."""
    simulation = Simulation(seed, theme, traced=traced)
    simulation.act()
    if not simulation.witness.found:
        simulation.settle()
    simulation.close()
    found, trace = simulation.witness.found, simulation.witness.trace
    return Result(seed, simulation.chaos.hits.total(), tuple(found), tuple(trace or ()))
