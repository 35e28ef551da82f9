"""Dashboard, alarms and saved queries read what is really written: by which function, under which name.

What is written is taken from a whole evening (`tests/telemetry_child.py`), whose functions are named as those
of a stack with one model.
"""

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from infra.alarms import MOST
from infra.metrics import BOTH, LIGHT_ONLY
from infra.monitoring import QUERIES
from session.telemetry import NAMESPACE, UNITS
from tests.infra.combinations import FULL
from tests.infra.synth import REPOSITORY, Synth, synth
from tests.telemetry_evening import evening

WATCHED = {"dashboard": True, "alarms_email": "house@example.org"}
FREE_METRICS = 50  # of each of an account's first three dashboards, says CloudWatch's price page
INSIGHTS = {  # words of its query language
    *("filter", "stats", "sort", "as", "by", "or", "desc"),
    *("sum", "avg", "count", "max", "bin"),
}
LAMBDA = {
    "@timestamp",
    "@message",
    "@log",
    "@type",
    "@maxMemoryUsed",
    "@memorySize",
}  # fields of any Lambda log


class Line(NamedTuple):
    """One of a graph or alarm; `of`: its dimensions."""

    namespace: str
    name: str
    of: tuple[str, ...]
    statistic: str
    side: str = "left"


def _dashboard(made: Synth) -> dict[str, list[Line]]:
    """Lines by the graph's title. CDK leaves out what CloudWatch assumes: the average, the left axis."""
    (body,) = made.only("CloudWatch::Dashboard")["DashboardBody"].values()
    text = "".join(part if isinstance(part, str) else str(*part.values()) for part in body[1])
    return {
        widget["properties"]["title"]: [
            Line(named[0], named[1], tuple(named[2:]), told.get("stat", "Average"), told.get("yAxis", "left"))
            for *named, told in widget["properties"]["metrics"]
            if named
        ]
        for widget in json.loads(text)["widgets"]
    }


def _alarms(made: Synth) -> dict[str, list[Line]]:
    """Lines by the alarm's description."""
    return {
        alarm["Properties"]["AlarmDescription"]: list(_watched(alarm["Properties"]))
        for alarm in made.of_type("CloudWatch::Alarm").values()
    }


def _watched(alarm: dict[str, Any]) -> Iterator[Line]:
    stats = [part["MetricStat"] for part in alarm.get("Metrics", []) if "MetricStat" in part]
    for stat in stats or [{"Metric": alarm, "Stat": alarm.get("Statistic", "")}]:
        metric = stat["Metric"]
        of = (str(each[key]) for each in metric["Dimensions"] for key in ("Name", "Value"))
        yield Line(metric["Namespace"], metric["MetricName"], tuple(of), stat["Stat"])


def _shown(made: Synth) -> int:
    """How many metrics the dashboard shows."""
    return len({line[:3] for lines in _dashboard(made).values() for line in lines})


@cache
def _graphs() -> dict[str, list[Line]]:
    return _dashboard(synth(**WATCHED))


def _of(title: str, namespace: str = NAMESPACE) -> set[tuple[str, str, str]]:
    """Metric, statistic and axis of a graph's lines."""
    return {
        (line.name, line.statistic, line.side) for line in _graphs()[title] if line.namespace == namespace
    }


# ---- what is read is written, and the other way round -----------------------------------------------------


def test_everything_that_is_read_is_written_and_everything_that_is_written_is_read() -> None:
    made = synth(**WATCHED)
    lines = [line for part in (_dashboard(made), _alarms(made)) for some in part.values() for line in some]
    read = {(*line.of, line.name) for line in lines if line.namespace == NAMESPACE}
    assert read == {("service", service, name) for service, name in evening().written()}


def test_every_query_asks_for_fields_that_are_logged() -> None:
    """As Logs Insights names them: of a list, NAME.0 is the first item."""
    logged = {
        f"{name}.0" if isinstance(value, list) else name
        for line in evening().lines
        for name, value in line.items()
    }
    for query in QUERIES.values():
        bare = re.sub('"[^"]*"|like /.*/', "", query)
        words = set(re.findall(r"(?<![\w.])[A-Za-z@][\w.@]*", bare)) - INSIGHTS
        made = set(re.findall(r" as (\w+)", bare))
        assert words - made <= logged | LAMBDA, query
        assert not words & UNITS.keys(), query


@pytest.mark.parametrize(
    "line",
    [
        "2026-11-21T21:00:00.000Z 5e1f Task timed out after 900.00 seconds",
        "INIT_REPORT Init Duration: 10000.12 ms\tPhase: init\tStatus: timeout",
        "REPORT RequestId: 5e1f\tDuration: 9.70 ms\tStatus: error\tError Type: Runtime.OutOfMemory",
        "RequestId: 5e1f Error: Runtime exited with error: exit status 1 Runtime.ExitError",
    ],
)
def test_what_lambda_writes_of_a_function_that_it_ended_is_found(line: str) -> None:
    (pattern,) = re.findall("like /(.*)/", QUERIES["errors"])
    assert re.search(pattern, line)
    assert not re.search(
        pattern, "INIT_START Runtime Version: provided.al2023.v1\tRuntime Version ARN: arn:aws:x"
    )


# ---- the dashboard ----------------------------------------------------------------------------------------


def test_the_dashboard_shows_all_that_the_house_promises() -> None:
    assert _of("Cold starts") == {("ModelColdStart", "Sum", "left")}
    stages = {"InitSeconds", "ReadSeconds", "LoadSeconds"}
    assert _of("Their stages, s") == {(stage, "p50", "left") for stage in stages}
    assert _of("Loading, MB/s") == {("LoadMBps", "p50", "left")}
    assert _of("First token, s") == {("TTFT", "p50", "left"), ("TTFT", "p90", "left")}
    assert _of("Tokens per second") == {("TokensPerSecond", "p50", "left")}
    assert _of("Model seconds: what the caps count") == {("ModelSeconds", "Sum", "left")}
    assert _of("Cost, $: of a reply | of all") == {
        ("CostUSD", "Average", "left"),
        ("CostUSD", "Sum", "right"),
    }
    price = _of("Cost of a million tokens, $")
    assert price == {("CostUSD", "Sum", "left"), ("GeneratedTokens", "Sum", "left")}
    assert _of("FAQ: answers | saved, $") == {("FaqHits", "Sum", "left"), ("FaqSavedUSD", "Sum", "right")}
    assert _of("Turns: ended, stopped") == {("TurnsEnded", "Sum", "left"), ("Stops", "Sum", "left")}
    assert _of("Failures") == {("Failures", "Sum", "left")}
    assert _of("Failures", "AWS/Lambda") == {("Errors", "Sum", "left")}
    queue = _of("Queue: place | waited, s")
    assert queue == {("QueueLength", "Maximum", "left"), ("QueueSeconds", "Maximum", "right")}
    assert _of("Throttles, caps reached") == {("Throttles", "Sum", "left"), ("CapsReached", "Sum", "left")}
    lambdas = _of("Lambda: environments at work | throttles", "AWS/Lambda")
    assert lambdas == {("ConcurrentExecutions", "Maximum", "left"), ("Throttles", "Sum", "right")}
    assert len(_graphs()) == 15


def test_what_api_gateway_refuses_is_shown_of_this_stage() -> None:
    made = synth(**WATCHED)
    (api,) = made.of_type("ApiGatewayV2::Api")
    stage = made.only("ApiGatewayV2::Stage")["StageName"]
    assert set(_graphs()["API Gateway: came in | refused, failed"]) == {
        Line("AWS/ApiGateway", name, ("ApiId", api, "Stage", stage), "Sum", side)
        for name, side in (
            ("ConnectCount", "left"),
            ("MessageCount", "left"),
            ("ClientError", "right"),
            ("IntegrationError", "right"),
        )
    }


def test_the_dashboard_of_two_models_is_free_and_has_its_region_in_its_name() -> None:
    made = synth(**FULL)
    assert len(made.options.models) == 2
    assert _shown(made) <= FREE_METRICS
    name = made.only("CloudWatch::Dashboard")["DashboardName"]  # all regions of an account have one list
    assert name == {"Fn::Join": ["", ["Curtain-", {"Ref": "AWS::Region"}]]}


def test_what_the_docs_say_of_metrics_is_so() -> None:
    light, model = len(LIGHT_ONLY | BOTH), len(UNITS.keys() - LIGHT_ONLY)
    text = " ".join((REPOSITORY / "docs" / "deploy.md").read_text(encoding="utf-8").split())
    assert f"{light} of the light function and {model} of each model" in text
    one, two = _shown(synth(**WATCHED)), _shown(synth(**FULL))
    assert f"this one shows {one} with one model, {two} with two" in text


# ---- alarms -----------------------------------------------------------------------------------------------


def test_failures_of_frames_and_tickets_raise_the_alarm_too() -> None:
    alarms = _alarms(synth(**WATCHED))
    failures = alarms["Curtain: starts, turns, frames or the ticket office fail"]
    assert {(line.name, line.of[1]) for line in failures} == {
        ("Failures", "curtain-prologue"),
        ("Failures", "curtain-demo"),
    }
    assert {line.statistic for lines in alarms.values() for line in lines} == {"Sum", "Maximum"}


def test_no_alarm_has_more_metrics_than_cloudwatch_takes(tmp_path: Path) -> None:
    names = [f"teller-{number}" for number in range(MOST)]
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").write_text(json.dumps({"name": name}), encoding="utf-8")
    memory = dict.fromkeys(names, 2048)
    own = {"models": names, "memory_mb": memory, "bundles": str(tmp_path), "account_concurrency": 1000}
    made = synth(**WATCHED, **own)
    found = [list(_watched(alarm["Properties"])) for alarm in made.of_type("CloudWatch::Alarm").values()]
    assert max(map(len, found)) == MOST
    of_failures = [line.of[1] for lines in found for line in lines if line.name == "Failures"]
    assert sorted(of_failures) == sorted(f"curtain-{part}" for part in ("prologue", *names))


# ---- API Gateway's log ------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", ["-", "Forbidden"])  # without an error, a minus sign stands there
def test_each_line_of_the_access_log_is_json(error: str) -> None:
    """As API Gateway fills it in: it puts quotes around `error.messageString` itself."""
    values = {"error.message": error, "error.messageString": f'"{error}"', "routeKey": "$connect"}
    line = synth(access_logs="on").only("ApiGatewayV2::Stage")["AccessLogSettings"]["Format"]
    written = re.sub(r"\$context\.([A-Za-z]+(\.[A-Za-z]+)*)", lambda found: values.get(found[1], "-"), line)
    assert json.loads(written)["error"] == error
