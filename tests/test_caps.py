"""Model seconds of a day: counted in the table, booked by whoever works, asked before anybody is woken."""

import threading
import uuid

import pytest
from pydantic import ValidationError

from lambda_image.meter import INIT_S, Meter
from lambda_image.service import ModelService
from lambda_image.tasks import Threads
from lambda_image.waking import SleepingModel
from prologue.greeting import Visitor
from session.caps import Caps, Ledger, Rest
from session.events import ErrorFrame, ModelStatus, TurnDone
from session.inputs import Pinged, Skipped
from session.limits import limits
from session.record import Session
from session.settings import Settings
from session.store import Store, StoreBusy
from tests.fakes import MemoryStore
from tests.lobby import Lobby, kinds, only
from tests.theatre import WORDS, Parrot, Theatre, Weights

pytest_plugins = ["tests.store_fixtures"]
DAY_S = 86_400
NOON = 20_000 * DAY_S + DAY_S / 2


def busy(*_: object, **__: object) -> None:
    raise StoreBusy("injected")


class Watch(Threads):
    """A clock that the test moves, with real threads."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def monotonic(self) -> float:
        return self.now


# ---- in the table ---------------------------------------------------------------------------------------


def test_each_purse_counts_for_itself_and_for_a_day(store: Store) -> None:
    ada, stack = f"subject:{uuid.uuid4().hex}", f"stack-{uuid.uuid4().hex}"
    assert store.spent((ada, stack), NOON) == [0.0, 0.0]
    store.spend((ada, stack), 12.5, NOON)
    store.spend((stack,), 0.0004, NOON)  # less than a millisecond is nothing
    store.spend((stack,), 30.25, NOON + DAY_S / 2 - 1)
    assert store.spent((stack, "nobody", ada), NOON) == [42.75, 0.0, 12.5]
    assert store.spent((stack, ada), NOON + DAY_S / 2) == [0.0, 0.0]  # midnight, UTC


def test_all_that_is_spent_at_once_is_counted(store: Store) -> None:
    stack = f"stack-{uuid.uuid4().hex}"
    hosts = [threading.Thread(target=store.spend, args=((stack,), 1.5, NOON)) for _ in range(8)]
    for host in hosts:
        host.start()
    for host in hosts:
        host.join()
    assert store.spent((stack,), NOON) == [12.0]


# ---- who answers for what -------------------------------------------------------------------------------


def session(fresh: Session, ticket: str = "", payer: str = "") -> Session:
    return fresh.model_copy(update={"ticket": ticket, "payer": payer})


def test_only_what_is_known_and_has_a_cap_is_booked(fresh: Session) -> None:
    store = MemoryStore()
    caps = Caps(stack=100, ticket=0, address=60)
    ledger = Ledger(store, lambda: NOON, caps)
    ledger.book(session(fresh, "t1", "address:a"), 7.0)
    ledger.book(session(fresh, "t2", ""), 5.0)
    assert {purse: seconds for (purse, _), seconds in store.purses.items()} == {
        "stack": 12.0,
        "address:a": 7.0,
    }
    Ledger(store, lambda: NOON, Caps()).book(session(fresh, "t1", "address:a"), 99.0)
    assert store.spent(("stack",), NOON) == [12.0]


def test_whoever_is_over_a_cap_rests_until_midnight(fresh: Session) -> None:
    store, midnight = MemoryStore(), NOON + DAY_S / 2
    ledger = Ledger(store, lambda: NOON, Caps(stack=100, ticket=20, address=60))
    ada, bob = session(fresh, "t1", "address:a"), session(fresh, "t2", "address:a")
    ledger.book(ada, 19.9)
    assert ledger.rest(ada) is None
    ledger.book(ada, 0.1)
    assert ledger.rest(ada) == Rest(until=midnight, own=True)
    assert ledger.rest(bob) is None  # another ticket
    ledger.book(bob, 40)
    assert ledger.rest(session(fresh, "t3", "address:a")) == Rest(until=midnight, own=True)
    eve = session(fresh, "t4", "address:e")
    assert ledger.rest(eve) is None
    ledger.book(session(fresh, "t5", "address:f"), 40)
    assert ledger.rest(eve) == Rest(until=midnight, own=False)
    assert Ledger(store, lambda: midnight, Caps(stack=100)).rest(eve) is None
    assert Ledger(store, lambda: NOON, Caps()).rest(eve) is None  # no caps


def test_an_address_is_kept_as_a_hash_and_a_subject_answers_before_it() -> None:
    assert Visitor("c", "192.0.2.1").payer.startswith("address:")
    assert "192.0.2.1" not in Visitor("c", "192.0.2.1").payer
    assert Visitor("c", "192.0.2.1").payer != Visitor("c", "192.0.2.2").payer
    assert Visitor("c", "192.0.2.1", "ada").payer == "subject:ada"
    assert Visitor("c").payer == ""


def test_the_stack_can_say_otherwise_than_the_limits() -> None:
    told = {"TABLE_NAME": "t", "CALLBACK_URL": "http://localhost:1/prod"}
    assert Settings.from_environment(told).caps() == Caps.standard()
    assert Caps.standard().stack == limits().model_seconds_day_stack > 0
    more = {"MODEL_SECONDS_PER_DAY": "0", "MODEL_SECONDS_PER_DAY_ADDRESS": "90.5"}
    caps = Settings.from_environment(told | more).caps()
    assert caps == Caps(stack=0, ticket=limits().model_seconds_day_ticket, address=90.5)
    for wrong in ("-1", "a lot"):
        with pytest.raises(ValidationError, match="model_seconds_per_day_ticket"):
            Settings.from_environment(told | {"MODEL_SECONDS_PER_DAY_TICKET": wrong})


# ---- the model function books ---------------------------------------------------------------------------


def capped(caps: Caps, parrot: Parrot | None = None) -> Theatre:
    theatre = Theatre(parrot)
    theatre.runner.ledger = Ledger(theatre.store, theatre.clock, caps)
    return theatre


def stack_seconds(theatre: Theatre) -> float:
    return theatre.store.spent(("stack",), theatre.clock.now)[0]


def test_a_visit_is_booked_whole_with_the_start_that_it_waited_for() -> None:
    theatre = capped(Caps(stack=1000), Parrot(WORDS, delay=0.05))
    theatre.runner.apply("s", Skipped(question_id=None))
    assert theatre.serve() == "released"
    done = theatre.posted(TurnDone)[0].metrics
    assert done is not None
    assert done.cold_start_s is not None
    assert stack_seconds(theatre) >= done.total_s + done.cold_start_s > 0.2


def test_a_process_that_is_older_than_any_init_was_frozen() -> None:
    for age, booked in ((4.0, 4.0), (500.0, INIT_S)):
        theatre, watch = capped(Caps(stack=1000)), Watch(1000.0)
        parrot = Parrot()
        model = SleepingModel(lambda parrot=parrot: parrot, Weights(), 1000.0 - age, tasks=watch)  # type: ignore[misc]
        service = ModelService(theatre.runner, model, tasks=watch)
        theatre.runner.apply("s", Skipped(question_id=None))
        service.serve("s", 1, holder="r", deadline=1900.0, memory_mb=10_240)
        assert stack_seconds(theatre) == booked
        theatre.say("t")
        service.serve("s", theatre.invoked[-1], holder="r", deadline=1900.0, memory_mb=10_240)
        assert stack_seconds(theatre) == booked  # only once


def test_what_came_to_nothing_is_booked_with_the_next_visit() -> None:
    theatre, watch = capped(Caps(stack=1000)), Watch(1000.0)
    parrot = Parrot()
    model = SleepingModel(lambda: parrot, Weights(), 997.0, tasks=watch)
    service = ModelService(theatre.runner, model, tasks=watch)
    service.serve("s", 7, holder="r", deadline=1900.0, memory_mb=10_240)  # an epoch that nobody asked for
    assert stack_seconds(theatre) == 0.0
    theatre.runner.apply("s", Skipped(question_id=None))
    service.serve("s", 1, holder="r", deadline=1900.0, memory_mb=10_240)
    assert stack_seconds(theatre) == 3.0


def test_a_crash_loses_no_more_than_a_minute() -> None:
    theatre, watch = capped(Caps(stack=1000)), Watch()
    meter = Meter(theatre.runner, watch, theatre.session, since=0.0)
    booked = []
    for _ in range(13):
        meter.keep()
        booked.append(stack_seconds(theatre))
        watch.now += 10
    assert booked == [0, 0, 0, 0, 0, 0, 60, 60, 60, 60, 60, 60, 120]


def test_what_the_table_does_not_take_is_booked_later() -> None:
    theatre, watch = capped(Caps(stack=1000)), Watch()
    meter = Meter(theatre.runner, watch, theatre.session, since=0.0)
    spend, theatre.store.spend = theatre.store.spend, busy  # type: ignore[method-assign]
    watch.now = 70.0
    meter.keep()
    theatre.store.spend = spend  # type: ignore[method-assign]
    watch.now = 80.0
    meter.book()
    assert stack_seconds(theatre) == 80.0


def test_those_who_queue_pay_for_themselves_and_rest_when_the_house_has_spent_its_day() -> None:
    theatre = capped(Caps(stack=0.4, address=1000), Parrot(WORDS, delay=0.05))
    payers = {"s": "address:s", "q0": "address:q0", "q1": "address:q1"}
    theatre.runner.apply("s", Skipped(question_id=None))
    for session_id in ("q0", "q1"):
        theatre.enter(session_id, f"of-{session_id}")
        theatre.runner.apply(session_id, Skipped(question_id=None))
    for session_id, payer in payers.items():
        head = theatre.store.heads[session_id]
        theatre.store.heads[session_id] = head.model_copy(update={"payer": payer})
    result = theatre.invoke()
    assert result["told"] == 2  # after the first one 0.3 s were spent, after the second one 0.6 s
    assert theatre.store.heads["q1"].model.state == "resting"
    last = theatre.posted(ModelStatus, to="of-q1")[-1]
    assert (last.state, last.message) == (
        "resting",
        "The narrator has talked enough for today; back at 00:00 UTC.",
    )
    spent = theatre.store.spent(tuple(payers.values()), theatre.clock.now)
    assert [seconds > 0.2 for seconds in spent] == [True, True, False]
    house = theatre.store.houses["demo"]
    assert (house.slots, house.queue) == ({}, ())


# ---- the light function asks ----------------------------------------------------------------------------


def capped_lobby(caps: Caps) -> Lobby:
    lobby = Lobby(environments=1)
    lobby.runner.ledger = Ledger(lobby.store, lobby.clock, caps)
    return lobby


def test_over_the_cap_nobody_is_woken_and_the_rest_goes_on() -> None:
    lobby = capped_lobby(Caps(stack=100))
    ready = lobby.hello()
    lobby.tell_opening()
    lobby.store.spend(("stack",), 100.0, lobby.clock.now)
    frames = lobby.send(action="say", turn_id="t1", text="I knock.")
    assert kinds(frames) == ["model.status", "error", "turn.done", "model.status"]
    assert (only(frames, ErrorFrame)[0].code, only(frames, TurnDone)[0].finish_reason) == ("daily_cap",) * 2
    assert lobby.invoked == [1]
    assert lobby.store.houses["demo"].slots == {}  # not even a slot was asked for
    answered = only(lobby.send(action="say", turn_id="q1", text="What is this?"), TurnDone)
    assert [done.status for done in answered] == ["completed"]
    assert kinds(lobby.send(action="ping")) == ["pong"]
    lobby.clock.now += DAY_S
    lobby.hello("c2", session_id=ready.session_id, resume_key=ready.resume_key)
    lobby.send("c2", action="say", turn_id="t2", text="I knock again.")
    assert lobby.invoked == [1, 4]


def test_the_ticket_a_story_began_with_answers_for_all_that_follows() -> None:
    lobby = capped_lobby(Caps(ticket=50))
    service = lobby.service
    service.message("c1", '{"action": "hello", "v": 1}', ticket="first")
    key = f'"session_id": "{lobby.session().session_id}", "resume_key": "token1of32"'
    service.message("c2", f'{{"action": "hello", "v": 1, {key}}}', ticket="second")
    assert lobby.session().ticket == "first"
    lobby.store.spend(("ticket:first",), 50.0, lobby.clock.now)
    service.message("c2", '{"action": "skip"}', ticket="second")
    assert (lobby.invoked, lobby.session().model.state) == ([], "resting")
    service.message("c2", '{"action": "world", "name": "harbour"}', ticket="second")
    assert (lobby.session().world, lobby.session().ticket) == ("harbour", "first")
    service.message("c2", '{"action": "skip"}', ticket="second")
    assert lobby.invoked == []
    service.message("c3", '{"action": "hello", "v": 1}', ticket="third")
    service.message("c3", '{"action": "skip"}', ticket="third")
    assert lobby.invoked == [1]


def test_another_address_pays_from_the_moment_it_comes() -> None:
    lobby = capped_lobby(Caps(address=50))
    ready = lobby.hello(address="192.0.2.1")
    assert lobby.session().payer == Visitor("", "192.0.2.1").payer
    lobby.hello("c2", session_id=ready.session_id, resume_key=ready.resume_key, address="192.0.2.2")
    assert lobby.session().payer == Visitor("", "192.0.2.2").payer


def test_a_queued_listener_rests_and_leaves_the_queue() -> None:
    lobby = capped_lobby(Caps(stack=100))
    lobby.hello("c1")
    lobby.send("c1", action="skip")
    lobby.hello("c2")
    assert "queue" in kinds(lobby.send("c2", action="skip"))
    lobby.store.spend(("stack",), 100.0, lobby.clock.now)
    frames = lobby.send("c2", action="ping")
    assert only(frames, ModelStatus)[-1].state == "resting"
    assert lobby.store.houses["demo"].queue == ()


def test_a_table_that_is_too_busy_to_tell_wakes_nobody_yet() -> None:
    lobby = capped_lobby(Caps(stack=100))
    lobby.hello()
    spent, lobby.store.spent = lobby.store.spent, busy  # type: ignore[method-assign,assignment]
    lobby.send(action="skip")
    assert (lobby.invoked, lobby.session().model.state) == ([], "starting")
    lobby.store.spent = spent  # type: ignore[method-assign]
    lobby.runner.apply(lobby.session().session_id, Pinged(turn_id=None))
    assert lobby.invoked == [3]
