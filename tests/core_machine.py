"""The session core under any inputs in any order, late and twice, by clocks that differ: a stateful machine.

No host, no network, no table: only `state.receive`, what a table would keep, and any number of holders who
believe that they have the seat. What is found shrinks to a few inputs.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from session.actions import Invoke, Post
from session.errors import Refusal
from session.events import TurnDone, TurnStatus
from session.inputs import (
    Answered,
    Began,
    Called,
    Claimed,
    Deleted,
    Disconnected,
    Finished,
    HolderInput,
    HouseFull,
    Input,
    InvokeFailed,
    LoadFailed,
    Loading,
    ModelChosen,
    Paused,
    Pinged,
    Ready,
    Released,
    Renamed,
    Renewed,
    Rested,
    Resumed,
    Retold,
    Said,
    Skipped,
    Stopped,
    Undone,
    Woken,
)
from session.limits import limits
from session.record import OPENING_TURN, LiveTurn, Phase, Session, Turn
from session.step import SeatLost
from tests.playing import (
    Play,
    awaiting,
    begin,
    broken_off,
    failed,
    from_faq,
    queued,
    resting,
    running,
    story,
    telling,
    told,
    told_anew,
    waiting,
)

STATES = {
    make.__name__: make()
    for make in (
        *(begin, awaiting, telling, failed, resting, story, waiting, queued, running),
        *(told, broken_off, told_anew, from_faq),
    )
}
BUSY = ("starting", "loading", "ready", "full")
SKEWS = st.sampled_from((0.0, 0.0, 0.0, -30.0, 30.0))
CONNECTIONS = st.sampled_from(("c1", "c2", "c3"))
BACK = st.sampled_from((0, 0, 0, 1, 2))  # so many epochs, versions or pieces of work ago
REPEATABLE = (Said, Skipped, Stopped, Retold, Undone, Deleted, ModelChosen, Renamed, Paused, Disconnected)
Version = tuple[str, int]


@dataclass
class Holder:
    """Who has claimed a seat, and what it believes."""

    name: str
    epoch: int
    live: LiveTurn | None = None
    stored: int = 0  # code points


class Core(RuleBasedStateMachine):
    steps: ClassVar[list[str]] = []  # of the example that was run last: once it has shrunk, the shortest

    def __init__(self) -> None:
        super().__init__()
        type(self).steps = []
        self.play: Play = begin()
        self.holders: list[Holder] = []
        self.ended: dict[Version, Turn] = {}
        self.begun: set[Version] = set()
        self.said = 0
        self.well = True

    @property
    def session(self) -> Session:
        return self.play.session

    # ---- whatever happens ----

    def happens(self, event: Input, skew: float = 0.0) -> bool:
        """Whether the core took it. A refusal changes nothing."""
        self.steps.append(repr(event))
        before, archived = self.session, list(self.play.archive)
        self.play.now += skew
        try:
            self.play(event)
        except (Refusal, SeatLost):
            assert self.session is before
            return False
        finally:
            self.play.now -= skew
        new = [turn for turn in self.play.archive if turn not in archived]
        self.well = False
        self.judge(event, before, new)
        self.well = True
        return True

    def judge(self, event: Input, before: Session, archived: list[Turn]) -> None:
        after, live = self.session, self.session.live
        assert after.seat.epoch >= before.seat.epoch
        assert after.deleted or after.work_seq >= before.work_seq
        assert Session.model_validate_json(after.model_dump_json()) == after
        if isinstance(event, HolderInput):
            assert event.epoch == before.seat.epoch, "an epoch that is over was heard"
        if isinstance(event, Claimed):
            assert before.seat.holder in ("", event.holder), "two have one seat"
        if isinstance(event, Retold) and live is not None and live is not before.live:
            assert live.version == event.version + 1, "a repeated frame made another version"
        if isinstance(event, Disconnected) and event.connection_id != before.connection_id:
            assert after.connection_id == before.connection_id, "late news took a connection away"
        if before.deleted or after.deleted:
            assert after.deleted
            assert not any((after.live, after.dialogue.answers, archived)), "something was brought back"
            return
        self.judge_turns(before, archived)
        if live is not None and live.status == "running":
            assert after.seat.holder, "a turn is told, and nobody has the seat"
        for action in self.play.actions:
            if isinstance(action, Invoke):
                assert (after.seat.epoch, after.seat.holder) == (action.epoch, "")
                assert after.seat.epoch > before.seat.epoch, "invoked twice for one epoch"
            elif isinstance(action, Post) and isinstance(action.frame, TurnDone):
                done = action.frame
                turn = self.ended[done.turn_id, done.version]
                assert (turn.status, len(turn.text)) == (done.status, done.length)

    def judge_turns(self, before: Session, archived: list[Turn]) -> None:
        was, live = before.live, self.session.live
        for turn in archived:
            assert (turn.turn_id, turn.version) not in self.ended, "a second terminal state"
            self.ended[turn.turn_id, turn.version] = turn
        if was is not None and (live is None or (was.turn_id, was.version) != (live.turn_id, live.version)):
            turn = self.ended[was.turn_id, was.version]  # else it vanished
            cut = before.stop_seen if before.stop else None
            assert turn.text == (was.text if cut is None else was.text[: max(was.continued, cut)])
        if live is not None:
            version = live.turn_id, live.version
            if was is None or version != (was.turn_id, was.version):
                assert version not in self.begun, "begun twice"
            self.begun.add(version)
            assert live.length == len(live.text)
            if was is not None and version == (was.turn_id, was.version):
                assert live.text == was.text, "told text has changed"
                assert live.created == was.created, "begun twice"
                assert live.status == "running" or was.status == "waiting", "begun twice"

    def frame(self, event: Input, skew: float = 0.0, *, twice: bool = False) -> None:
        """From a client; it may come again at once, and then changes nothing more."""
        if self.happens(event, skew) and twice and isinstance(event, REPEATABLE):
            once, told = self.session, len(self.ended)
            self.happens(event, skew)
            kept = self.session.model_copy(update={"rev": once.rev, "work_seq": once.work_seq})
            assert (kept, len(self.ended)) == (once, told), "the second copy did something"

    # ---- listeners ----

    @initialize(state=st.sampled_from(sorted(STATES)))
    def begins(self, state: str) -> None:
        """In any state of the table: from the beginning most would be far away."""
        self.steps.append(state)
        self.play = Play(STATES[state].session, STATES[state].now, archive=[*STATES[state].archive])
        live, seat = self.session.live, self.session.seat
        self.ended = {(turn.turn_id, turn.version): turn for turn in self.play.archive}
        self.begun = {*self.ended, *([(live.turn_id, live.version)] if live else [])}
        self.said = sum(version == ("t1", 1) for version in self.begun)
        if seat.holder:
            told = live if live and live.status == "running" else None
            self.holders.append(Holder(seat.holder, seat.epoch, told, told.length if told else 0))

    @rule(seconds=st.sampled_from((0.5, 4.0, 11.0, 95.0, 400.0, 90_000.0)))
    def time_passes(self, seconds: float) -> None:
        self.steps.append(f"{seconds} s")
        self.play.now += seconds

    @rule(connection=CONNECTIONS, skew=SKEWS)
    def hello(self, connection: str, skew: float) -> None:
        self.frame(Resumed(connection_id=connection), skew)

    @rule(connection=CONNECTIONS, skew=SKEWS, twice=st.booleans())
    def disconnected(self, connection: str, skew: float, twice: bool) -> None:
        self.frame(Disconnected(connection_id=connection), skew, twice=twice)

    @rule(back=BACK, skew=SKEWS)
    def ping(self, back: int, skew: float) -> None:
        self.frame(Pinged(turn_id=self.turn_id(back)), skew)

    @rule(twice=st.booleans())
    def skip(self, twice: bool) -> None:
        self.frame(Skipped(question_id=None), twice=twice)

    @rule(text=st.sampled_from(("Emma", "Toto")))
    def answer(self, text: str) -> None:
        self.frame(Answered(question_id="name", choice=None, text=text))

    @rule(back=BACK, skew=SKEWS, faq=st.booleans(), twice=st.booleans())
    def say(self, back: int, skew: float, faq: bool, twice: bool) -> None:
        self.said += not back
        turn_id = f"t{max(1, self.said - back)}"
        answer = "It is a story house." if faq else None
        self.frame(Said(turn_id=turn_id, text="I go on.", seed=self.said, faq=answer), skew, twice=twice)

    @rule(back=BACK, version=st.sampled_from((None, 1, 2, 3)), seen=st.sampled_from((None, 0, 3)))
    def stop(self, back: int, version: int | None, seen: int | None) -> None:
        self.frame(Stopped(turn_id=self.turn_id(back), version=version, seen=seen), twice=True)

    @rule(kind=st.sampled_from(("retry", "edit", "continue", "not_faq")), back=BACK, twice=st.booleans())
    def retell(self, kind: Any, back: int, twice: bool) -> None:
        last = self.session.last
        turn_id, version = (last.turn_id, max(1, last.version - back)) if last else ("t1", 1)
        known = self.play.turn(turn_id, version)
        text = "I turn back." if kind == "edit" else None
        event = Retold(kind=kind, turn_id=turn_id, version=version, seed=9, turn=known, text=text)
        self.frame(event, twice=twice)

    @rule(back=BACK)
    def undo(self, back: int) -> None:
        turn_id = self.turn_id(back)
        before = [turn for turn in self.play.archive if turn.turn_id != turn_id]
        self.frame(Undone(turn_id=turn_id, previous=before[-1] if before else None), twice=True)

    @rule(name=st.sampled_from(("demo", "other")))
    def choose(self, name: str) -> None:
        self.frame(ModelChosen(name=name, state="cold", typical_s=40.0), twice=True)

    @rule(skew=SKEWS)
    def wake(self, skew: float) -> None:
        self.frame(Woken(), skew)

    @rule(sure=st.integers(0, 9))
    def delete(self, sure: int) -> None:
        if sure == 0:
            self.frame(Deleted(), twice=True)

    def turn_id(self, back: int) -> str:
        """Of a turn that is there, was there, or is yet to come."""
        known = [OPENING_TURN, *(f"t{number}" for number in range(1, self.said + 2))]
        return known[-1 - min(back, len(known) - 1)]

    # ---- the platform ----

    @rule(back=BACK, again=st.booleans())
    def invoke_fails(self, back: int, again: bool) -> None:
        self.happens(InvokeFailed(epoch=self.session.seat.epoch - back, message="500", again=again))

    @rule(back=BACK, place=st.sampled_from((None, 1, 3)))
    def house_is_full(self, back: int, place: int | None) -> None:
        self.happens(HouseFull(epoch=self.session.seat.epoch - back, place=place, eta_s=40.0))

    @rule(back=BACK)
    def day_is_over(self, back: int) -> None:
        until = (self.play.now // 86_400 + 1) * 86_400
        self.happens(Rested(epoch=self.session.seat.epoch - back, until=until))

    # ---- holders, rightful or not ----

    @rule(name=st.sampled_from("abc"), back=BACK, skew=SKEWS)
    def claim(self, name: str, back: int, skew: float) -> None:
        epoch = self.session.seat.epoch - back
        if self.happens(Claimed(epoch=epoch, holder=name), skew):
            self.holders.append(Holder(name, epoch))

    @rule(name=st.sampled_from("abc"), skew=SKEWS)
    def is_called(self, name: str, skew: float) -> None:
        if self.happens(Called(holder=name), skew):
            self.holders.append(Holder(name, self.session.seat.epoch))

    @rule(name=st.sampled_from("abc"))
    def holder_comes_and_begins(self, name: str) -> None:
        """As a rule all goes well."""
        self.claim(name, 0, 0.0)
        self.holder_is_alive(0, 0.0, "ready")
        self.holder_begins(0, 0.0)

    @rule(back=BACK, skew=SKEWS, kind=st.sampled_from(("load", "fail", "ready", "renew")))
    def holder_is_alive(self, back: int, skew: float, kind: str) -> None:
        if holder := self.holder(back):
            events: dict[str, Input] = {
                "load": Loading(epoch=holder.epoch, loaded_bytes=1, total_bytes=2, eta_s=9.0),
                "fail": LoadFailed(epoch=holder.epoch, message="weights.bin is damaged"),
                "ready": Ready(epoch=holder.epoch, seed=5),
                "renew": Renewed(epoch=holder.epoch),
            }
            self.happens(events[kind], skew)

    @rule(back=BACK, skew=SKEWS)
    def holder_begins(self, back: int, skew: float) -> None:
        holder = self.holder(back)
        if holder and self.happens(Began(epoch=holder.epoch), skew):
            holder.live = self.session.live
            holder.stored = holder.live.length if holder.live else 0

    @rule(back=BACK, text=st.sampled_from(("The gate ", "🦊", "stands open. ")))
    def holder_tells(self, back: int, text: str) -> None:
        """The one write per delta, whose condition is the store's to check."""
        holder, live, seat = self.holder(back), self.session.live, self.session.seat
        if holder is None or holder.live is None or live is None:
            return
        mine = holder.live.turn_id, holder.live.version, holder.epoch, holder.name, holder.stored
        if mine == (live.turn_id, live.version, seat.epoch, seat.holder, live.length):
            assert live.status == "running"
            self.steps.append(f"{holder.name} tells {text!r}")
            self.play.write(text)
            holder.stored += len(text)

    @rule(back=BACK, skew=SKEWS, status=st.sampled_from(("completed", "incomplete", "failed")))
    def holder_ends(self, back: int, skew: float, status: TurnStatus) -> None:
        holder = self.holder(back)
        if holder and holder.live:
            turn_id, version = holder.live.turn_id, holder.live.version
            event = Finished(
                epoch=holder.epoch, turn_id=turn_id, version=version, status=status, finish_reason="length"
            )
            self.happens(event, skew)

    @rule(back=BACK, seen=BACK)
    def holder_leaves(self, back: int, seen: int) -> None:
        if holder := self.holder(back):
            before = self.session
            self.happens(Released(epoch=holder.epoch, work_seq=before.work_seq - seen))
            if seen:
                assert self.session.seat.holder == before.seat.holder, "it left while work came"

    def holder(self, back: int) -> Holder | None:
        return self.holders[-1 - back] if back < len(self.holders) else None

    # ---- in the end ----

    def teardown(self) -> None:
        """Nobody answers any more, and the listener waits: nothing waits for ever."""
        if not self.well:
            return
        self.frame(Resumed(connection_id="c9"))
        waited = limits().queue_limit_s + limits().start_limit_s + 4 * limits().seat_s
        for _ in range(int(waited / 60.0)):
            self.play.now += 60.0
            self.frame(Pinged(turn_id=OPENING_TURN))
        session = self.session
        assert session.deleted or (session.live is None and session.model.state not in BUSY), "stuck"
        if not session.deleted and session.phase is Phase.AWAITING:
            resting = session.model.rests_until > self.play.now
            assert session.model.state == "failed" or resting, "the opening scene is never told"
