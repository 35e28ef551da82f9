"""One schedule made by hypothesis instead of a seed: what is found shrinks to a few doings and faults."""

from typing import ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.sim.chaos import KINDS
from tests.sim.listener import Listener
from tests.sim.simulation import Simulation
from tests.sim.themes import RARER, THEMES

WHO = st.integers(0, 3)


class Evening(RuleBasedStateMachine):
    """Listeners, time and faults in any order that hypothesis likes; at the end, all must be well."""

    simulation: Simulation
    steps: ClassVar[list[str]] = []  # of the example that was run last: once it has shrunk, the shortest

    @initialize(seed=st.integers(0, 99), theme=st.sampled_from(sorted(THEMES)))
    def begins(self, seed: int, theme: str) -> None:
        type(self).steps = [f"{theme}, {seed}"]
        self.simulation = Simulation(seed, theme, rates={})
        for listener in self.simulation.listeners:
            listener.passive = True
        self.simulation.run(2.0)

    def listener(self, number: int, doing: str) -> Listener | None:
        there = [listener for listener in self.simulation.listeners if listener.connected]
        if not there:
            return None
        listener = there[number % len(there)]
        self.steps.append(f"{listener.name} {doing}")
        return listener

    @rule(seconds=st.sampled_from((0.1, 0.7, 3.0, 11.0, 25.0, 95.0)))
    def time_passes(self, seconds: float) -> None:
        self.steps.append(f"{seconds} s")
        self.simulation.run(seconds)

    @rule(kind=st.sampled_from(sorted(KINDS)))
    def something_is_about_to_go_wrong(self, kind: str) -> None:
        self.steps.append(kind)
        self.simulation.chaos.force(kind)

    @rule(number=WHO)
    def somebody_skips_the_questions(self, number: int) -> None:
        if listener := self.listener(number, "skips"):
            listener.skip()

    @rule(number=WHO, text=st.sampled_from(("I open the gate.", "FAQ?")))
    def somebody_speaks(self, number: int, text: str) -> None:
        listener = self.listener(number, "speaks")
        if listener and listener.story.open_turn is None:
            listener.say(text)

    @rule(number=WHO)
    def somebody_stops(self, number: int) -> None:
        if listener := self.listener(number, "stops"):
            listener.stop()

    @rule(number=WHO, kind=st.sampled_from(sorted(set(RARER))))
    def somebody_does_something_else(self, number: int, kind: str) -> None:
        if listener := self.listener(number, kind):
            listener.disturb(kind)

    @rule(number=WHO, honest=st.booleans())
    def somebody_comes_from_another_device(self, number: int, honest: bool) -> None:
        listener = self.listener(number, "is at another device")
        if listener and listener.story.resume_key and len(self.simulation.listeners) < 6:
            thief = listener.subject is not None and not honest
            self.simulation.join(listener, subject="thief" if thief else listener.subject)
            self.simulation.listeners[-1].passive = True

    @invariant()
    def nothing_is_wrong(self) -> None:
        assert not self.simulation.witness.found

    def teardown(self) -> None:
        try:
            if not self.simulation.witness.found:
                self.simulation.settle()
            assert not self.simulation.witness.found, self.simulation.witness.found
        finally:
            self.simulation.close()
