"""From the decode loop to the listener: stored, then posted; stop, refusal, absence, a lost seat."""

from collections.abc import Callable

import pytest

from lambda_image import delivery
from session.events import Frame, TurnDelta, TurnDone
from session.inputs import Disconnected, Resumed, Skipped, Stopped
from session.limits import limits
from session.posting import NotPosted
from session.record import Session
from session.store import StoreBusy
from tests.theatre import WORDS, Parrot, Theatre

LONG = WORDS * 200


def on_stage(words: list[str] = LONG, delay: float = 0.005) -> Theatre:
    """The prologue is over; the model will tell these words."""
    theatre = Theatre(Parrot(words, delay=delay))
    theatre.runner.apply("s", Skipped(question_id=None))
    return theatre


def at(theatre: Theatre, word: int, act: Callable[[], object]) -> None:
    """Calls `act` before the model says that word."""
    before = theatre.narrator.before

    def look(index: int) -> None:
        before(index)
        if index == word:
            act()

    theatre.narrator.before = look


def refusing(theatre: Theatre, times: int) -> list[TurnDelta]:
    """The gateway answers 429 to so many deltas, which are returned as they come."""
    post, refused = theatre.poster.post, list[TurnDelta]()

    def limited(connection_id: str, frame: Frame) -> None:
        if isinstance(frame, TurnDelta) and len(refused) < times:
            refused.append(frame)
            raise NotPosted("429")
        post(connection_id, frame)

    theatre.poster.post = limited  # type: ignore[method-assign]
    return refused


def test_what_is_posted_was_stored_and_splices_to_the_stored_text() -> None:
    theatre = on_stage(WORDS * 5, delay=0.02)
    post = theatre.poster.post

    def check(connection_id: str, frame: Frame) -> None:
        live = theatre.session.live
        if isinstance(frame, TurnDelta):
            assert live is not None
            assert live.text[frame.offset :].startswith(frame.text)
        post(connection_id, frame)

    theatre.poster.post = check  # type: ignore[method-assign]
    theatre.serve()
    deltas = theatre.posted(TurnDelta)
    assert 2 <= len(deltas) < 25  # the first at once, the others gathered
    assert deltas[0].text == WORDS[0]
    assert theatre.spliced() == theatre.store.turns("s")[0].text == "".join(WORDS * 5)
    done = theatre.posted(TurnDone)[-1]
    assert done.length == len(theatre.spliced())
    assert done.usage is not None
    assert done.usage.completion_tokens == 25
    assert done.usage.dropped_turns == 3
    assert done.usage.kv_lost_tokens == 4
    assert done.metrics is not None
    assert done.metrics.cost_usd > 0
    assert done.metrics.energy_wh > 0


def test_much_text_at_once_goes_out_before_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    changed = limits().model_copy(update={"delta_interval_s": 600.0, "delta_chars": 50})
    monkeypatch.setattr(delivery, "limits", lambda: changed)
    theatre = on_stage(WORDS * 20, delay=0.002)
    theatre.serve()
    deltas = theatre.posted(TurnDelta)
    assert len(deltas) > 4
    assert all(len(delta.text) >= 50 for delta in deltas[1:-1])


def test_stop_ends_the_computing_and_keeps_what_was_stored() -> None:
    theatre = on_stage(delay=0.02)
    at(theatre, 20, lambda: theatre.runner.apply("s", Stopped(turn_id="opening")))
    theatre.serve()
    turn = theatre.store.turns("s")[0]
    assert turn.status == "stopped"
    assert turn.text
    assert "".join(LONG).startswith(turn.text)
    assert theatre.narrator.said < 100


def test_no_delta_follows_a_stop_and_the_text_ends_where_the_screen_stood_still() -> None:
    theatre = on_stage(delay=0.02)
    posted: list[int] = []

    def stop() -> None:
        theatre.runner.apply("s", Stopped(turn_id="opening", seen=7))
        posted.append(len(theatre.posted(TurnDelta)))

    at(theatre, 40, stop)
    theatre.serve()
    assert len(theatre.posted(TurnDelta)) - posted[0] <= 1  # one may have been on its way
    assert theatre.store.turns("s")[0].text == "".join(LONG)[:7]
    assert theatre.posted(TurnDone)[0].length == 7


def test_a_delta_whose_write_finds_the_stop_is_not_posted() -> None:
    theatre = on_stage(delay=0.02)
    append, calls = theatre.store.append_delta, iter(range(1000))

    def stopped(session: Session, *, offset: int, text: str, seat_expires: float) -> Session:
        if next(calls) == 2:
            theatre.runner.apply("s", Stopped(turn_id="opening"))
        return append(session, offset=offset, text=text, seat_expires=seat_expires)

    theatre.store.append_delta = stopped  # type: ignore[method-assign]
    theatre.serve()
    assert len(theatre.posted(TurnDelta)) == 2
    assert len(theatre.store.turns("s")[0].text) > len(theatre.spliced())


def test_nothing_is_posted_on_the_word_of_a_table_that_was_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its answer may be older than a stop."""
    changed = limits().model_copy(update={"stop_poll_s": 0.0})
    monkeypatch.setattr(delivery, "limits", lambda: changed)
    theatre = on_stage(WORDS)
    assert theatre.serve() == "released"
    assert theatre.posted(TurnDelta) == []
    assert theatre.posted(TurnDone)[0].length == len("".join(WORDS))  # so that the client asks for the rest


def test_what_was_refused_goes_out_with_what_comes_next_and_later_each_time() -> None:
    theatre = on_stage(delay=0.002)
    refused = refusing(theatre, 3)
    theatre.serve()
    assert [delta.offset for delta in refused] == [0, 0, 0]
    assert [len(delta.text) for delta in refused] == sorted({len(delta.text) for delta in refused})
    assert theatre.posted(TurnDelta)[0].offset == 0
    assert theatre.posted(TurnDelta)[0].text.startswith(refused[-1].text)
    assert theatre.spliced() == theatre.store.turns("s")[0].text == "".join(LONG)


def test_the_waits_double_while_the_gateway_refuses_and_shrink_after(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = limits().model_copy(update={"delta_interval_s": 0.02, "delta_slowest_s": 0.1})
    monkeypatch.setattr(delivery, "limits", lambda: changed)
    theatre = on_stage(delay=0.002)
    refusing(theatre, 4)
    with caplog.at_level("INFO"):
        theatre.serve()
    waits = [line.split()[3] for line in caplog.messages if " waits " in line]
    assert waits == ["0.04", "0.08", "0.10", "0.10"]
    assert theatre.spliced() == "".join(LONG)


def test_what_the_gateway_never_took_is_in_the_table_and_its_length_in_the_end() -> None:
    theatre = on_stage(WORDS)
    refused = refusing(theatre, 1000)
    theatre.serve()
    assert refused
    assert theatre.posted(TurnDelta) == []
    assert theatre.store.turns("s")[0].text == "".join(WORDS)
    assert theatre.posted(TurnDone)[0].length == len("".join(WORDS))


def test_a_listener_who_stays_away_ends_the_turn_after_the_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    from lambda_image import audience

    changed = limits().model_copy(update={"grace_s": 0.3})
    monkeypatch.setattr(audience, "limits", lambda: changed)
    theatre = on_stage(delay=0.02)
    at(theatre, 10, lambda: theatre.runner.apply("s", Disconnected(connection_id="c")))
    theatre.serve()
    turn = theatre.store.turns("s")[0]
    assert (turn.status, turn.finish_reason) == ("incomplete", "listener_gone")
    assert 10 < theatre.narrator.said < 200


@pytest.mark.parametrize("skew", [-60.0, 60.0])
def test_a_short_absence_harms_nothing_however_the_clocks_differ(skew: float) -> None:
    theatre = on_stage(WORDS * 20)

    def leave() -> None:
        theatre.runner.apply("s", Disconnected(connection_id="c"))
        theatre.clock.now += skew  # from here on it is the holder's

    at(theatre, 10, leave)
    theatre.serve()
    assert theatre.store.turns("s")[0].status == "completed"


def test_a_gone_connection_does_not_end_the_turn_by_itself() -> None:
    theatre = on_stage(WORDS)
    theatre.poster.gone.add("c")
    theatre.serve()
    assert theatre.store.turns("s")[0].status == "completed"
    assert theatre.session.connection_id is None


def test_who_comes_back_in_the_middle_misses_nothing() -> None:
    theatre = on_stage(delay=0.01)
    at(theatre, 50, lambda: theatre.poster.gone.add("c"))
    read: list[str] = []

    def come_back() -> None:
        theatre.runner.apply("s", Resumed(connection_id="c2"))
        assert theatre.session.live is not None
        read.append(theatre.session.live.text)

    at(theatre, 200, come_back)
    theatre.serve()
    text = read[0]
    for delta in theatre.posted(TurnDelta, to="c2"):
        assert delta.offset <= len(text)
        text += delta.text[len(text) - delta.offset :]
    assert text == theatre.store.turns("s")[0].text == "".join(LONG)


def test_a_zombie_falls_silent_when_its_seat_is_taken() -> None:
    theatre = on_stage(delay=0.02)

    def take_the_seat() -> None:
        head = theatre.session
        seat = head.seat.model_copy(update={"epoch": head.seat.epoch + 1, "holder": "other"})
        theatre.store.heads["s"] = head.model_copy(update={"seat": seat, "rev": head.rev + 1})
        theatre.poster.take()

    at(theatre, 20, take_the_seat)
    assert theatre.serve() == "seat_lost"
    assert theatre.posted(TurnDelta) == []
    assert theatre.store.turns("s") == []
    assert theatre.narrator.said < 100


def test_a_busy_table_delays_a_delta_and_loses_none() -> None:
    theatre = on_stage(WORDS * 5, delay=0.02)
    append, calls = theatre.store.append_delta, iter(range(1000))

    def busy(session: Session, *, offset: int, text: str, seat_expires: float) -> Session:
        stored = append(session, offset=offset, text=text, seat_expires=seat_expires)
        if next(calls) == 1:
            raise StoreBusy("written, and the answer lost")
        return stored

    theatre.store.append_delta = busy  # type: ignore[method-assign]
    assert theatre.serve() == "released"
    assert theatre.spliced() == theatre.store.turns("s")[0].text == "".join(WORDS * 5)


def test_a_table_that_breaks_ends_the_turn_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    theatre = on_stage(delay=0.02)

    def broken(session: Session, *, offset: int, text: str, seat_expires: float) -> Session:
        raise ConnectionError("no route to the table")

    theatre.store.append_delta = broken  # type: ignore[method-assign]
    assert theatre.serve() == "released"
    turn = theatre.store.turns("s")[0]
    assert (turn.status, turn.finish_reason) == ("incomplete", "delivery_failed")
    assert "no route to the table" in caplog.text
    assert theatre.narrator.said < 100
