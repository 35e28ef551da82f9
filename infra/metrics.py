"""The metrics of `session/telemetry.py`, as dashboard and alarms read them.

Each has one dimension, `service`: the function that wrote it (`functions.service_name`).
"""

from typing import Final

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch

from session.telemetry import NAMESPACE, UNITS

PERIOD: Final = Duration.minutes(5)


def metric(name: str, service: str, statistic: str = "Sum", label: str | None = None) -> cloudwatch.Metric:
    """Raises KeyError for one that nobody writes."""
    assert UNITS[name]
    return cloudwatch.Metric(
        namespace=NAMESPACE,
        metric_name=name,
        dimensions_map={"service": service},
        statistic=statistic,
        period=PERIOD,
        label=label or f"{name} {service}",
    )
