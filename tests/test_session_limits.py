"""What a story may use, and what a listener may do with the whole of it: name it, leave it, delete it."""

from collections.abc import Callable

import pytest

from session.actions import Erase, Post, PostSnapshot, PostTo
from session.errors import Refusal
from session.events import SessionDeleted, SessionReady, SessionRenamed, SessionSuperseded
from session.inputs import (
    Called,
    Claimed,
    Deleted,
    Disconnected,
    HouseFull,
    InvokeFailed,
    ListenerInput,
    Pinged,
    Renamed,
    Resumed,
    Woken,
)
from session.limits import limits
from session.record import Phase, Seat, Session, Spent
from session.step import SeatLost
from tests.playing import (
    Play,
    deleted,
    finish,
    hold,
    queued,
    retold,
    running,
    say,
    story,
    telling,
    told,
    waiting,
)

DAY = 86_400


def with_spent(play: Play, **fields: int) -> Play:
    spent = Spent(day=int(play.now // DAY)).model_copy(update=fields)
    play.session = play.session.model_copy(update={"spent": spent})
    return play


# ---- turns and tokens -----------------------------------------------------------------------------------


def test_every_version_counts_as_a_turn_and_a_reply_by_its_tokens() -> None:
    play = finish(running(), "t1", tokens=30)
    play(retold(play))
    finish(hold(play), "t1", version=2, tokens=12)
    play(say("t2", faq="It is."))
    assert play.session.spent == Spent(turns=4, tokens=42, day=0, day_turns=4, day_tokens=42)


@pytest.mark.parametrize(
    ("field", "limit", "code"),
    [
        ("turns", limits().session_turns, "too_many_turns"),
        ("tokens", limits().session_tokens, "too_many_tokens"),
        ("day_turns", limits().daily_turns, "too_many_turns_today"),
        ("day_tokens", limits().daily_tokens, "too_many_tokens_today"),
    ],
)
def test_each_limit_has_its_own_refusal(field: str, limit: int, code: str) -> None:
    assert with_spent(told(), **{field: limit - 1})(say("t2")).session.live is not None
    play = with_spent(told(), **{field: limit})
    for event in (say("t2"), retold(play)):
        with pytest.raises(Refusal) as refused:
            play(event)
        assert refused.value.code == code
    faq = say("t3", faq="It is.")
    if field.endswith("tokens"):  # the FAQ needs none
        assert play(faq).session.last is not None
    else:
        with pytest.raises(Refusal, match=code):
            play(faq)


def test_a_new_day_begins_at_nothing_and_a_slow_clock_does_not_bring_the_old_one_back() -> None:
    play = with_spent(story(), day_turns=limits().daily_turns, day_tokens=9, turns=7, tokens=9)
    play.now = 3.0 * DAY
    play(say("t1"))
    assert play.session.spent == Spent(turns=8, tokens=9, day=3, day_turns=1, day_tokens=0)
    play.now -= 60
    finish(hold(play), "t1", tokens=5)
    assert play.session.spent == Spent(turns=8, tokens=14, day=3, day_turns=1, day_tokens=5)


# ---- connections ----------------------------------------------------------------------------------------


def test_the_newest_hello_wins_and_the_older_socket_is_told() -> None:
    play = telling()(Resumed(connection_id="c2"))
    assert play.session.connection_id == "c2"
    assert play.actions[0] == PostTo("c1", SessionSuperseded(session_id="s1"))
    assert PostSnapshot() in play.actions
    ready = play.posted(SessionReady)[0]
    assert isinstance(ready, SessionReady)
    assert (ready.resumed, ready.resume_key) == (True, None)


def test_the_same_hello_twice_supersedes_nobody() -> None:
    play = telling()(Resumed(connection_id="c1"))
    assert not [a for a in play.actions if isinstance(a, PostTo)]
    assert PostSnapshot() in play.actions


def test_disconnect_clears_the_connection_only_if_it_is_still_that_one() -> None:
    play = telling()(Resumed(connection_id="c2"))(Disconnected(connection_id="c1"))
    assert play.session.connection_id == "c2"
    play(Disconnected(connection_id="c2"))
    left = play.session
    assert left.connection_id is None
    assert left.gone_at == play.now
    play.now += 5
    assert play(Disconnected(connection_id="c2")).session is left  # late, and twice
    play(Resumed(connection_id="c3"))
    assert play.session.connection_id == "c3"
    assert play.session.gone_at is None


def test_a_listener_is_missed_only_after_the_grace() -> None:
    play = telling()(Disconnected(connection_id="c1"))
    grace = limits().grace_s
    assert not play.session.deserted(play.now + grace, grace)
    assert play.session.deserted(play.now + grace + 1, grace)
    assert not telling().session.deserted(play.now + 999, grace)


# ---- names ----------------------------------------------------------------------------------------------


def test_a_story_is_named_and_renamed() -> None:
    play = story()(Renamed(title="  The  gate\n"))
    assert play.session.title == "The gate"
    assert play.posted(SessionRenamed) == [SessionRenamed(title="The gate")]
    before = play.session
    assert play(Renamed(title="The gate")).posted(SessionRenamed)
    assert play.session is before
    with pytest.raises(Refusal, match="text_too_long"):
        play(Renamed(title="x" * (limits().title_chars + 1)))
    ready = play(Resumed(connection_id="c2")).posted(SessionReady)[0]
    assert isinstance(ready, SessionReady)
    assert ready.title == "The gate"
    assert play(Renamed(title=" ")).session.title == ""


# ---- deletion -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [story, telling, queued, waiting, told])
def test_nothing_of_a_deleted_session_is_left_in_its_record(state: Callable[[], Play]) -> None:
    play = state()(Renamed(title="The gate"))
    before = play.session
    play(Deleted())
    assert play.actions == [Erase(), Post(SessionDeleted(session_id="s1"))]
    assert play.session == Session(
        session_id="s1",
        resume_hash="",
        world="emerald-city",
        deleted=True,
        model_name="demo",
        created=before.created,
        expires=before.expires,
        rev=before.rev,
        connection_id="c1",  # whose item is erased too
        seat=Seat(epoch=before.seat.epoch + 1),
        phase=Phase.PROLOGUE,
    )
    with pytest.raises(SeatLost):
        play(Claimed(epoch=before.seat.epoch, holder="r1"))


def test_a_deletion_can_be_repeated() -> None:
    play = deleted()
    before, actions = play.session, play.actions
    assert play(Deleted()).actions == actions
    assert play.session is before


@pytest.mark.parametrize("event", [Resumed(connection_id="c2"), say("t2"), Woken(), Pinged(turn_id=None)])
def test_a_deleted_session_is_unknown(event: ListenerInput) -> None:
    with pytest.raises(Refusal, match="unknown_session"):
        deleted()(event)


@pytest.mark.parametrize(
    "event",
    [
        Disconnected(connection_id="c1"),
        InvokeFailed(epoch=3, message="x"),
        HouseFull(epoch=3, place=1, eta_s=None),
    ],
)
def test_late_news_for_a_deleted_session_mean_nothing(event: ListenerInput) -> None:
    play = deleted()
    before = play.session
    assert play(event).actions == []
    assert play.session is before
    with pytest.raises(SeatLost):
        play(Called(holder="r8"))
