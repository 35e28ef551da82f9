"""What operators see of an evening: every line with its ids, every figure, and nothing of what was said."""

from collections import Counter
from typing import Any

import pytest
from aws_lambda_powertools import Logger

from session import telemetry, tracing
from session.actions import Post
from session.events import Metrics, TurnDone, TurnStatus, Usage
from session.inputs import Called, Finished, HouseFull, InvokeFailed, Pinged, Rested
from session.limits import limits
from session.measures import Measured, measures
from session.state import receive
from tests.playing import WORLD, Play, awaiting, failed, queued, running, waiting
from tests.telemetry_evening import Seen, address, daemon, evening, heard
from tests.telemetry_texts import TEXTS

SERVICES = {"request-of-light": "curtain-prologue", "request-of-model": "curtain-demo"}
SAMPLED = "Root=1-2-3;Parent=4;Sampled=1"


@pytest.fixture(scope="module")
def seen() -> Seen:
    return evening()


# ---- logs -----------------------------------------------------------------------------------------------


def test_nothing_that_was_said_or_is_secret_is_logged(seen: Seen) -> None:
    broken = [log for log in seen.logs() if "exception" in log]
    assert len(broken) >= 2  # a reply that broke, and a record that could not be read: with their tracebacks
    for secret in (*TEXTS, *seen.keys):
        assert secret not in seen.text, secret


def test_every_line_says_which_session_it_is_about(seen: Seen) -> None:
    for log in seen.logs():
        assert log["service"] == SERVICES[log["function_request_id"]]
        assert log.get("correlation_id") == log.get("session_id")
    (broken,) = (log for log in seen.logs() if "broke off" in log["message"])
    assert (broken["session_id"], broken["turn_id"], broken["level"]) == (seen.session_id, "t2", "ERROR")
    assert "logits are not finite" in broken["exception"]
    (unread,) = (log for log in seen.logs() if "frame of connection" in log["message"])
    assert (unread["connection_id"], unread["turn_id"]) == ("c1", "t6")


def test_the_ids_of_one_event_do_not_stay_for_the_next(seen: Seen) -> None:
    (queue,) = seen.metrics("QueueSeconds")
    assert queue["session_id"] != seen.session_id
    assert "turn_id" not in queue  # the one before was another session's


# ---- metrics --------------------------------------------------------------------------------------------


def test_every_metric_has_its_unit_and_one_dimension(seen: Seen) -> None:
    named = set()
    for line in seen.lines:
        for group in line.get("_aws", {}).get("CloudWatchMetrics", []):
            assert (group["Namespace"], group["Dimensions"]) == ("Curtain", [["service"]])
            for metric in group["Metrics"]:
                assert metric["Unit"] == telemetry.UNITS[metric["Name"]]
                named.add(metric["Name"])
    assert named == set(telemetry.UNITS)  # the evening had everything in it


def test_the_figures_are_those_of_the_evening(seen: Seen) -> None:
    counted = {name: sum(line[name][0] for line in seen.metrics(name)) for name in telemetry.UNITS}
    assert counted["ModelColdStart"] == 1
    assert Counter((line["status"], line["reason"]) for line in seen.metrics("TurnsEnded")) == {
        ("completed", "stop"): 4,  # t1, and three opening scenes
        ("completed", "faq"): 1,
        ("stopped", "stopped"): 2,  # before it was begun, and while it was told
        ("failed", "error"): 1,
        ("failed", "daily_cap"): 1,
    }
    assert counted["FaqHits"] == 1
    assert counted["Stops"] == 2
    assert counted["Throttles"] == 2  # an invocation and a post
    assert counted["CapsReached"] == 1
    assert Counter((line["service"], line["reason"]) for line in seen.metrics("Failures")) == {
        ("curtain-demo", "error"): 1,
        ("curtain-prologue", "internal"): 1,  # the table failed, and the frame's answer was `internal`
        ("curtain-prologue", "tickets"): 1,  # 503
    }
    (start,) = seen.metrics("LoadSeconds")
    assert start["LoadMBps"] == [pytest.approx(100 / 0.5 / 1e6)]  # of the stand-in's weights
    assert start["InitSeconds"][0] <= start["LoadSeconds"][0]
    assert seen.metrics("TTFT")[0].keys() >= {
        "GeneratedTokens",
        "CostUSD",
    }  # of which the dashboard makes a price


def test_without_a_name_there_is_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("POWERTOOLS_SERVICE_NAME", raising=False)
    telemetry.begin(None, session_id="s")
    telemetry.about(turn_id="t")
    telemetry.emit({"Stops": 1})
    assert capsys.readouterr().out == ""


# ---- traces ---------------------------------------------------------------------------------------------


def test_every_part_of_a_trace_says_which_session_and_turn_it_is_about(seen: Seen) -> None:
    for part in seen.traces:
        assert (part["type"], part["trace_id"]) == ("subsegment", "1-5759e988-bd862e3fe1be46a994272793")
        assert part["end_time"] >= part["start_time"]
        assert part["annotations"].keys() <= {"session_id", "turn_id"}
    assert len({part["id"] for part in seen.traces}) == len(seen.traces)
    found: dict[tuple[str, str], list[dict[str, str]]] = {}
    for part in seen.traces:
        found.setdefault((part["parent_id"], part["name"]), []).append(part["annotations"])
    assert found.keys() == {("light", "event"), ("model", "visit"), ("model", "turn")}
    assert {"session_id": seen.session_id, "turn_id": "q1"} in found["light", "event"]
    for turn_id in ("t1", "t2"):
        assert {"session_id": seen.session_id, "turn_id": turn_id} in found["model", "turn"]
    visited = {about["session_id"] for about in found["model", "visit"]}
    assert visited == {about["session_id"] for about in found["model", "turn"]}


def test_a_part_that_broke_off_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    logger = Logger(service="curtain-test")
    monkeypatch.setattr(telemetry, "_logger", lambda: logger)
    monkeypatch.setenv("_X_AMZN_TRACE_ID", SAMPLED)
    with daemon() as listening:
        monkeypatch.setenv("AWS_XRAY_DAEMON_ADDRESS", address(listening))
        with pytest.raises(RuntimeError), telemetry.traced("part"):
            raise RuntimeError("unsaid")
        with telemetry.traced("part"):
            telemetry.about(session_id="s")
        broken, whole = heard(listening)
    assert '"fault": true' in broken
    assert "unsaid" not in broken
    assert '"fault": false' in whole
    assert '"session_id": "s"' in whole


@pytest.mark.parametrize("trace", ["", SAMPLED.replace("1", "0"), "Root=1-2-3;Sampled=1", "nonsense"])
def test_what_is_not_sampled_is_not_sent(monkeypatch: pytest.MonkeyPatch, trace: str) -> None:
    monkeypatch.setenv("_X_AMZN_TRACE_ID", trace)
    with daemon() as listening:
        monkeypatch.setenv("AWS_XRAY_DAEMON_ADDRESS", address(listening))
        tracing.send("part", began=1.0, ended=2.0, annotations={})
        assert heard(listening) == []


@pytest.mark.parametrize("where", ["", "127.0.0.1:9", "127.0.0.1:"])
def test_where_nobody_listens_nothing_happens(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], where: str
) -> None:
    monkeypatch.setenv("_X_AMZN_TRACE_ID", SAMPLED)
    monkeypatch.setenv("AWS_XRAY_DAEMON_ADDRESS", where)
    tracing.send("part", began=1.0, ended=2.0, annotations={"session_id": "s"})
    assert capsys.readouterr() == ("", "")


# ---- what a step tells ----------------------------------------------------------------------------------


def told(play: Play, event: Any) -> list[Measured]:
    outcome = receive(play.session, event, play.now, WORLD)
    return list(measures(play.session, event, outcome, play.now))


def test_a_step_that_changes_nothing_is_not_counted() -> None:
    play = waiting()
    late = play.session.seat.epoch - 1
    for event in (Rested(epoch=late, until=9e9), HouseFull(epoch=late, place=2, eta_s=None)):
        assert told(play, event) == []
    assert told(failed(), InvokeFailed(epoch=1, message="x")) == []  # known


def test_a_start_that_failed_is_counted_once_with_or_without_a_turn() -> None:
    play = awaiting()
    epoch = play.session.seat.epoch
    assert told(play, InvokeFailed(epoch=epoch, message="x")) == [
        Measured({"Failures": 1}, {"model": "demo", "reason": "start"})
    ]
    play = waiting()
    (turn,) = told(play, InvokeFailed(epoch=play.session.seat.epoch, message="x"))
    assert turn.values == {"TurnsEnded": 1, "Failures": 1}
    assert turn.told == {"turn_id": "t1", "model": "demo", "status": "failed", "reason": "model_failed"}


def test_what_ends_as_it_should_is_no_failure() -> None:
    play = waiting()
    rested, capped = told(play, Rested(epoch=play.session.seat.epoch, until=9e9))
    assert (rested.values, capped.values) == ({"CapsReached": 1}, {"TurnsEnded": 1})
    assert (capped.told["status"], capped.told["reason"]) == ("failed", "daily_cap")
    play = running()
    (gone,) = told(play, _finished(play.session.seat.epoch, _done("incomplete", "listener_gone")))
    assert (gone.values, gone.told["reason"]) == ({"TurnsEnded": 1}, "listener_gone")
    (late,) = told(play, _finished(play.session.seat.epoch, _done("incomplete", "deadline")))
    assert late.values == {"TurnsEnded": 1, "Failures": 1}


def test_who_is_turned_away_is_counted_as_refused_with_or_without_a_turn() -> None:
    away = Measured({"Throttles": 1}, {"reason": "house_full"})
    play = awaiting()
    assert told(play, HouseFull(epoch=play.session.seat.epoch, place=None, eta_s=None)) == [away]
    play = waiting()
    turn, refused = told(play, HouseFull(epoch=play.session.seat.epoch, place=None, eta_s=None))
    assert (turn.values, turn.told["reason"], refused) == ({"TurnsEnded": 1}, "house_full", away)
    play = queued()
    play.now += limits().queue_limit_s + 1
    turn, refused = told(play, Pinged(turn_id=None))
    assert (turn.values, refused) == ({"TurnsEnded": 1}, away)


def test_a_queue_is_measured_when_it_is_joined_and_when_it_is_left() -> None:
    play = waiting()
    full = HouseFull(epoch=play.session.seat.epoch, place=3, eta_s=None)
    assert told(play, full) == [Measured({"QueueLength": 3})]
    play = queued()
    play.now += 75
    assert told(play, Called(holder="r8")) == [Measured({"QueueSeconds": 75})]


def test_a_reply_tells_what_it_took_and_one_without_tokens_has_no_speed() -> None:
    play = running()
    epoch = play.session.seat.epoch
    for tokens, rate in ((0, 0.0), (50, 5.0)):
        done = TurnDone(
            turn_id="t1",
            version=1,
            status="completed",
            finish_reason="stop",
            length=20,
            usage=Usage(completion_tokens=tokens),
            metrics=Metrics(ttft_s=1.5, cost_usd=0.001, decode_tokens_per_s=rate),
        )
        outcome = receive(play.session, _finished(epoch, done), play.now, WORLD)
        assert Post(done) in outcome.actions
        (measured,) = measures(play.session, _finished(epoch, done), outcome, play.now)
        expected = {"TurnsEnded": 1, "CostUSD": 0.001, "GeneratedTokens": tokens}
        if tokens:
            expected |= {"TTFT": 1.5, "TokensPerSecond": 5.0}
        assert measured.values == expected


def _done(status: TurnStatus, reason: str) -> TurnDone:
    return TurnDone(turn_id="t1", version=1, status=status, finish_reason=reason, length=20)


def _finished(epoch: int, done: TurnDone) -> Any:
    return Finished(
        epoch=epoch,
        turn_id=done.turn_id,
        version=done.version,
        status=done.status,
        finish_reason=done.finish_reason,
        usage=done.usage,
        metrics=done.metrics,
    )
