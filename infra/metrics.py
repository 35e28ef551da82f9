"""The metrics of `session/telemetry.py`, as dashboard and alarms read them.

Each has one dimension, `service`: the function that wrote it (`functions.service_name`).
"""

from typing import Final

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch

from infra.functions import service_name
from infra.options import Options
from session.telemetry import NAMESPACE, UNITS

PERIOD: Final = Duration.minutes(5)
LIGHT_ONLY: Final = frozenset({"CapsReached", "FaqHits", "FaqSavedUSD", "QueueLength"})
BOTH: Final = frozenset({"Failures", "Stops", "Throttles", "TurnsEnded"})  # all others: the models only


def writers(options: Options, name: str) -> list[str]:
    """The services that write a metric. Raises KeyError for one that nobody writes."""
    assert UNITS[name]
    light = ("prologue",) if name in LIGHT_ONLY | BOTH else ()
    models = () if name in LIGHT_ONLY else options.models
    return [service_name(options, part) for part in (*light, *models)]


def metric(name: str, service: str, statistic: str = "Sum") -> cloudwatch.Metric:
    return cloudwatch.Metric(
        namespace=NAMESPACE,
        metric_name=name,
        dimensions_map={"service": service},
        statistic=statistic,
        period=PERIOD,
        label=f"{name} {statistic} {service}",
    )


def metrics(options: Options, name: str, statistic: str = "Sum") -> list[cloudwatch.Metric]:
    """One for each service that writes it. Raises KeyError for a metric that nobody writes."""
    return [metric(name, service, statistic) for service in writers(options, name)]
