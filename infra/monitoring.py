"""Dashboard and saved log queries, by option: beyond an account's third, or with more than 50 metrics, a
dashboard costs $3 a month."""

from collections.abc import Sequence
from functools import partial
from typing import Final

from aws_cdk import Aws
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.gateway import STAGE, Gateway
from infra.metrics import PERIOD, metric, metrics, writers
from infra.model_function import ModelFunction
from infra.options import Options
from infra.prologue_function import PrologueFunction

P50, P90 = "p50", "p90"
# A metric's value is logged as a list of one, and Logs Insights calls a list's first item NAME.0. What Lambda
# writes of a function that it ended is no JSON: `Status: timeout` (of an init, too), `Runtime.OutOfMemory`.
QUERIES: Final = {
    "errors": r'filter level = "ERROR" or @message like /Task timed out|Status: timeout|Runtime\.[A-Z]/',
    "one-session": 'filter session_id = "PUT ITS ID HERE"',
    "failures": "filter Failures.0 > 0 | stats sum(Failures.0) by service, reason",
    "turns": "filter TurnsEnded.0 > 0 | stats sum(TurnsEnded.0) by status, reason",
    "slow-first-tokens": "filter TTFT.0 > 0 | sort TTFT.0 desc",
    "cold-starts": (
        "filter ModelColdStart.0 > 0 | stats count(), avg(LoadSeconds.0), avg(LoadMBps.0) by bin(1h), service"
    ),
    "memory": (
        'filter @type = "REPORT"'
        " | stats max(@maxMemoryUsed / 1000 / 1000) as used_mb, max(@memorySize / 1000 / 1000) as mb by @log"
    ),
}


class Monitoring(Construct):
    """A dashboard, and the questions that one asks of the logs, ready to run in Logs Insights."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        options: Options,
        gateway: Gateway,
        light: PrologueFunction,
        models: Sequence[ModelFunction],
    ) -> None:
        super().__init__(scope, construct_id)
        of, api = partial(metrics, options), partial(_of_stage, gateway)
        functions = [light.function, *(model.function for model in models)]
        rows: list[list[cloudwatch.IWidget]] = [
            [
                _graph("Cold starts", of("ModelColdStart")),
                _graph(
                    "Their stages, s",
                    [*of("InitSeconds", P50), *of("ReadSeconds", P50), *of("LoadSeconds", P50)],
                ),
                _graph("Loading, MB/s", of("LoadMBps", P50)),
            ],
            [
                _graph("First token, s", [*of("TTFT", P50), *of("TTFT", P90)]),
                _graph("Tokens per second", of("TokensPerSecond", P50)),
                _graph("Model seconds: what the caps count", of("ModelSeconds")),
            ],
            [
                _graph("Cost, $: of a reply | of all", of("CostUSD", "Average"), of("CostUSD")),
                _graph("Cost of a million tokens, $", _price(options)),
                _graph("FAQ: answers | saved, $", of("FaqHits"), of("FaqSavedUSD")),
            ],
            [
                _graph("Turns: ended, stopped", [*of("TurnsEnded"), *of("Stops")]),
                _graph("Failures", [*of("Failures"), light.function.metric_errors(period=PERIOD)]),
                _graph(
                    "Queue: place | waited, s", of("QueueLength", "Maximum"), of("QueueSeconds", "Maximum")
                ),
            ],
            [
                _graph("Throttles, caps reached", [*of("Throttles"), *of("CapsReached")]),
                _graph(
                    "API Gateway: came in | refused, failed",
                    [api("ConnectCount"), api("MessageCount")],
                    [api("ClientError"), api("IntegrationError")],
                ),
                _graph(
                    "Lambda: environments at work | throttles",
                    [each.metric("ConcurrentExecutions", statistic="Maximum") for each in functions],
                    [each.metric_throttles() for each in functions],
                ),
            ],
        ]
        # Dashboards are the whole account's: without its region, a stack elsewhere would write over this one.
        cloudwatch.Dashboard(self, "Dashboard", dashboard_name=f"{options.stack}-{Aws.REGION}", widgets=rows)
        groups = [light.log_group.log_group_name, *(model.log_group.log_group_name for model in models)]
        for name, query in QUERIES.items():
            logs.CfnQueryDefinition(
                self,
                f"Query-{name}",
                name=f"{options.stack}/{name}",
                log_group_names=groups,
                query_string=f"fields @timestamp, @message | {query} | limit 200",
            )


def _graph(
    title: str, left: Sequence[cloudwatch.IMetric], right: Sequence[cloudwatch.IMetric] = ()
) -> cloudwatch.GraphWidget:
    """`title`: what is on the left axis | what is on the right."""
    return cloudwatch.GraphWidget(title=title, left=left, right=list(right), width=8)


def _price(options: Options) -> list[cloudwatch.IMetric]:
    return [
        cloudwatch.MathExpression(
            expression=f"1000000 * cost{number} / tokens{number}",
            using_metrics={
                f"cost{number}": metric("CostUSD", service),
                f"tokens{number}": metric("GeneratedTokens", service),
            },
            label=service,
            period=PERIOD,
        )
        for number, service in enumerate(writers(options, "GeneratedTokens"))
    ]


def _of_stage(gateway: Gateway, name: str) -> cloudwatch.Metric:
    """What API Gateway counts. No function sees what it refuses (ClientError: no ticket, or throttled)."""
    return cloudwatch.Metric(
        namespace="AWS/ApiGateway",
        metric_name=name,
        dimensions_map={"ApiId": gateway.api.api_id, "Stage": STAGE},
        statistic="Sum",
        period=PERIOD,
        label=name,
    )
