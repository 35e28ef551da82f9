"""Dashboard and saved log queries, by option: beyond an account's third, a dashboard costs $3 a month."""

from collections.abc import Sequence
from typing import Final

from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.functions import service_name
from infra.metrics import PERIOD, metric
from infra.model_function import ModelFunction
from infra.options import Options
from infra.prologue_function import PrologueFunction

P50, P90 = "p50", "p90"
QUERIES: Final = {
    "errors": 'filter level = "ERROR" or @message like /Task timed out|Runtime.ExitError/',
    "one-session": 'filter session_id = "PUT ITS ID HERE"',
    "failures": "filter Failures > 0 | stats sum(Failures) by reason",
    "slow-first-tokens": "filter TTFT > 0 | sort TTFT desc",
    "cold-starts": ("filter ModelColdStart > 0 | stats count(), avg(LoadSeconds), avg(LoadMBps) by bin(1h)"),
    "memory": 'filter @type = "REPORT" | stats max(@maxMemoryUsed / 1e6), max(@memorySize / 1e6) by @log',
}


class Monitoring(Construct):
    """A dashboard, and the questions that one asks of the logs, ready to run in Logs Insights."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        options: Options,
        light: PrologueFunction,
        models: Sequence[ModelFunction],
    ) -> None:
        super().__init__(scope, construct_id)
        services = [service_name(options, model.model) for model in models]
        prologue = service_name(options, "prologue")
        everywhere = [prologue, *services]
        rows: list[list[cloudwatch.IWidget]] = [
            [
                _graph("Cold starts", services, "ModelColdStart"),
                _graph("Their stages, s", services, "LoadSeconds", P50, more=("InitSeconds", "ReadSeconds")),
                _graph("Loading, MB/s", services, "LoadMBps", P50),
            ],
            [
                _graph("First token, s", services, "TTFT", P50, P90),
                _graph("Tokens per second", services, "TokensPerSecond", P50),
                _graph("Stops", everywhere, "Stops"),
            ],
            [
                _graph("Cost, $", services, "CostUSD"),
                _price(services),
                _graph("FAQ: answers", [prologue], "FaqHits", "Sum", more=("FaqSavedUSD",)),
            ],
            [
                _graph("Failures", everywhere, "Failures"),
                _graph("Queue", [prologue], "QueueLength", "Maximum", more=("QueueSeconds",)),
                _graph("Throttles, caps reached", everywhere, "Throttles", more=("CapsReached",)),
            ],
            [_lambda("Environments at work", [light.function, *(model.function for model in models)])],
        ]
        cloudwatch.Dashboard(self, "Dashboard", dashboard_name=options.stack, widgets=rows)
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
    title: str, services: Sequence[str], name: str, *statistics: str, more: Sequence[str] = ()
) -> cloudwatch.GraphWidget:
    lines = [
        metric(each, service, statistic, label=f"{each} {statistic} {service}")
        for each in (name, *more)
        for service in services
        for statistic in statistics or ("Sum",)
    ]
    return cloudwatch.GraphWidget(title=title, left=lines, width=8)


def _price(services: Sequence[str]) -> cloudwatch.GraphWidget:
    lines = [
        cloudwatch.MathExpression(
            expression=f"1000000 * cost{number} / tokens{number}",
            using_metrics={
                f"cost{number}": metric("CostUSD", service),
                f"tokens{number}": metric("GeneratedTokens", service),
            },
            label=service,
            period=PERIOD,
        )
        for number, service in enumerate(services)
    ]
    return cloudwatch.GraphWidget(title="Cost of a million tokens, $", left=lines, width=8)


def _lambda(title: str, functions: Sequence[lambda_.IFunction]) -> cloudwatch.GraphWidget:
    lines = [function.metric("ConcurrentExecutions", statistic="Maximum") for function in functions]
    throttled = [function.metric_throttles() for function in functions]
    return cloudwatch.GraphWidget(title=title, left=lines, right=throttled, width=24)
