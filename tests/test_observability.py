"""What operators see of an evening: every line with its ids, every figure, and nothing of what was said."""

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aws_lambda_powertools import Logger

from session import telemetry, tracing
from session.actions import Post
from session.events import Metrics, TurnDone, Usage
from session.inputs import Called, Finished, HouseFull, InvokeFailed, Rested
from session.measures import Measured, measures
from session.state import receive
from tests.playing import WORLD, Play, awaiting, failed, queued, running, waiting
from tests.telemetry_texts import TEXTS

ROOT = Path(__file__).parent.parent
HEADER = '{"format": "json", "version": 1}\n'
SAMPLED = "Root=1-2-3;Parent=4;Sampled=1"


@dataclass
class Seen:
    """What CloudWatch would have got, and what only the listener knows."""

    text: str
    lines: list[dict[str, Any]] = field(default_factory=list)
    session_id: str = ""
    keys: list[str] = field(default_factory=list)
    traces: list[dict[str, Any]] = field(default_factory=list)

    def metrics(self, name: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if "_aws" in line and name in line]

    def logs(self) -> list[dict[str, Any]]:
        return [line for line in self.lines if "_aws" not in line]


@contextlib.contextmanager
def daemon() -> Iterator[socket.socket]:
    """Listens where X-Ray's daemon does on Lambda."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.setblocking(False)
        yield listening


def address(listening: socket.socket) -> str:
    return "{}:{}".format(*listening.getsockname())


def heard(listening: socket.socket) -> list[str]:
    """All that has been sent. On loopback it is there as soon as it was sent."""
    packets = []
    with contextlib.suppress(BlockingIOError):
        while True:
            packets.append(listening.recv(65_536).decode())
    return packets


@pytest.fixture(scope="module")
def seen() -> Seen:
    command = [sys.executable, "-m", "tests.telemetry_child"]
    with daemon() as listening:
        told = os.environ | {"AWS_XRAY_DAEMON_ADDRESS": address(listening)}
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, env=told)
        packets = heard(listening)
    *lines, last = done.stdout.splitlines()
    return Seen(
        "\n".join([*lines, done.stderr, *packets]),
        [json.loads(line) for line in lines],
        traces=[json.loads(packet.removeprefix(HEADER)) for packet in packets],
        **json.loads(last),
    )


# ---- logs -----------------------------------------------------------------------------------------------


def test_nothing_that_was_said_or_is_secret_is_logged(seen: Seen) -> None:
    broken = [log for log in seen.logs() if "exception" in log]
    assert len(broken) >= 2  # a reply that broke, and a record that could not be read: with their tracebacks
    for secret in (*TEXTS, *seen.keys):
        assert secret not in seen.text, secret


def test_every_line_says_which_session_it_is_about(seen: Seen) -> None:
    for log in seen.logs():
        assert log["service"] == "curtain-test"
        assert log["function_request_id"] in ("request-of-light", "request-of-model")
        assert log.get("correlation_id") == log.get("session_id")
    (broken,) = (log for log in seen.logs() if "broke off" in log["message"])
    assert (broken["session_id"], broken["turn_id"], broken["level"]) == (seen.session_id, "t2", "ERROR")
    assert "logits are not finite" in broken["exception"]
    (unread,) = (log for log in seen.logs() if "frame of connection" in log["message"])
    assert (unread["connection_id"], unread["turn_id"]) == ("c1", "t5")


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
    assert counted["TurnsCompleted"] == 5  # opening, the FAQ's, t1, and two more opening scenes
    assert counted["FaqHits"] == 1
    assert counted["Stops"] == 1
    assert counted["Throttles"] == 2  # an invocation and a post
    assert counted["CapsReached"] == 1
    assert {line["reason"] for line in seen.metrics("Failures")} == {"error", "daily_cap"}
    (start,) = seen.metrics("LoadSeconds")
    assert start["LoadMBps"] == [pytest.approx(100 / 0.5 / 1e6)]  # of the stand-in's weights
    assert start["InitSeconds"][0] <= start["LoadSeconds"][0]
    reply = seen.metrics("TTFT")[0]
    tokens, cost = reply["GeneratedTokens"][0], reply["CostUSD"][0]
    assert reply["CostPerMillionTokens"] == [pytest.approx(cost / tokens * 1e6)]


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
    assert turn.values == {"Failures": 1}
    assert turn.told == {"turn_id": "t1", "model": "demo", "reason": "model_failed"}


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
        expected = {"TurnsCompleted": 1, "CostUSD": 0.001, "GeneratedTokens": tokens}
        if tokens:
            expected |= {"TTFT": 1.5, "TokensPerSecond": 5.0, "CostPerMillionTokens": 20.0}
        assert measured.values == expected


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
