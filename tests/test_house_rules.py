"""The house under any order of events: who has a slot, who waits, and nobody is passed over."""

from itertools import pairwise

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from session.house import House, ask, call_next, give_up, hold, leave, note_start
from session.limits import limits

SESSIONS = st.sampled_from("abcdefgh")
EPOCHS = st.integers(min_value=1, max_value=4)
SKEW = st.sampled_from([0.0, 0.0, 0.0, 5.0, -5.0])
STEP = st.sampled_from([0.5, 8.0, 31.0, 45.0, 95.0])


class AnyOrder(RuleBasedStateMachine):
    """Beside the house, only what a fair observer keeps: when everybody last began to wait, and was heard."""

    def __init__(self) -> None:
        super().__init__()
        self.house = House(model_name="m")
        self.now = 1000.0
        self.capacity = 2
        self.arrived: dict[str, int] = {}
        self.arrivals = 0

    @rule(seconds=STEP)
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(capacity=st.integers(min_value=0, max_value=3))
    def capacity_changes(self, capacity: int) -> None:
        self.capacity = capacity

    @rule(session_id=SESSIONS, epoch=EPOCHS, skew=SKEW)
    def somebody_asks(self, session_id: str, epoch: int, skew: float) -> None:
        before, now = self.house, self.now + skew
        heard = [w.session_id for w in before.queue if now - w.seen <= limits().queue_s]
        taken = {known: slot for known, slot in before.slots.items() if slot.expires > now}
        after, place = ask(before, session_id, epoch, now, self.capacity)
        waiting = [w.session_id for w in after.queue]
        ahead = heard.index(session_id) if session_id in heard else len(heard)
        if session_id in taken:
            assert place is None
            assert after.slots[session_id].epoch == max(epoch, taken[session_id].epoch)
            assert len(after.slots) == len(taken)
        elif place is None:
            assert after.slots[session_id].epoch == epoch
            assert len(after.slots) == len(taken) + 1
            assert ahead + len(after.slots) <= self.capacity, "more than there are, or out of turn"
        else:
            assert after.slots == taken
            assert place.place == ahead + 1, "a place is only ever lost to nobody"
            assert waiting[ahead] == session_id
            assert ahead + len(taken) >= self.capacity, "kept waiting before a free slot"
            assert (place.eta_s is None) == (not before.held or self.capacity == 0)
            assert place.eta_s is None or place.eta_s >= 0
        assert [w for w in waiting if w != session_id] == [w for w in heard if w != session_id]
        assert ask(after, session_id, epoch, now, self.capacity) == (after, place), (
            "asking twice is asking once"
        )
        self.take(after)

    @rule(session_id=SESSIONS, epoch=EPOCHS, skew=SKEW)
    def a_holder_renews(self, session_id: str, epoch: int, skew: float) -> None:
        known = self.house.slots.get(session_id)
        after = hold(self.house, session_id, epoch, self.now + skew)
        if known is not None and known.epoch > epoch:
            assert after.slots.get(session_id, known) == known
        else:
            slot = after.slots[session_id]
            assert (slot.epoch, slot.held) == (epoch, True)
            assert slot.expires >= self.now + skew + limits().slot_s
        self.take(after)

    @precondition(lambda self: self.house.slots)
    @rule(choice=st.integers(min_value=0), late=st.booleans())
    def a_holder_leaves(self, choice: int, late: bool) -> None:
        session_id, slot = sorted(self.house.slots.items())[choice % len(self.house.slots)]
        after = leave(self.house, session_id, slot.epoch - 1 if late else slot.epoch, self.now)
        if late:
            assert after is self.house
        else:
            assert set(after.slots) == set(self.house.slots) - {session_id}
            assert (after.held == self.house.held) or (slot.held and after.held[-1] >= 0)
        self.take(after)

    @rule(session_id=SESSIONS)
    def somebody_gives_up(self, session_id: str) -> None:
        self.take(give_up(self.house, session_id))

    @rule()
    def a_holder_calls_the_next(self) -> None:
        heard = [w.session_id for w in self.house.queue if self.now - w.seen <= limits().queue_s]
        taken = [known for known, slot in self.house.slots.items() if slot.expires > self.now]
        after, called = call_next(self.house, self.now, self.capacity)
        assert called == (heard[0] if heard and len(taken) < self.capacity else None)
        assert set(after.slots) == {*taken} | ({called} if called else set())
        assert called is None or after.slots[called].epoch == 0
        self.take(after)

    @rule(seconds=st.floats(min_value=0, max_value=300))
    def a_start_is_noted(self, seconds: float) -> None:
        self.take(note_start(self.house, seconds, self.now))

    def take(self, house: House) -> None:
        known = {(w.session_id, w.since) for w in self.house.queue}
        self.house = house
        for waiting in house.queue:
            if (waiting.session_id, waiting.since) not in known:
                self.arrivals += 1
                self.arrived[waiting.session_id] = self.arrivals

    @invariant()
    def everybody_is_in_one_place(self) -> None:
        waiting = [w.session_id for w in self.house.queue]
        assert len({*waiting}) == len(waiting)
        assert not {*waiting} & {*self.house.slots}

    @invariant()
    def the_queue_is_in_the_order_of_arrival(self) -> None:
        order = [self.arrived[w.session_id] for w in self.house.queue]
        assert all(earlier < later for earlier, later in pairwise(order))

    @invariant()
    def little_is_kept(self) -> None:
        assert len(self.house.held) <= limits().estimates
        assert len(self.house.starts) <= limits().estimates


AnyOrder.TestCase.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
TestHouse = AnyOrder.TestCase
