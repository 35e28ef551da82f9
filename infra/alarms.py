"""Alarms by e-mail: what a house owner wants to be woken for."""

from collections.abc import Sequence
from typing import Final

from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from infra.failures import Failures
from infra.functions import service_name
from infra.metrics import PERIOD, metric
from infra.options import Options
from infra.prologue_function import PrologueFunction


class Alarms(Construct):
    """`topic` sends to `alarms_email`, once its owner has confirmed AWS's message. Each alarm is
    $0.10 a month beyond an account's first ten."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        options: Options,
        email: str,
        light: PrologueFunction,
        failures: Failures,
    ) -> None:
        super().__init__(scope, construct_id)
        self.topic: Final = sns.Topic(self, "Topic", enforce_ssl=True, display_name=options.stack)
        self.topic.add_subscription(subscriptions.EmailSubscription(email))
        services = [service_name(options, part) for part in ("prologue", *options.models)]
        self._alarm("LightErrors", light.function.metric_errors(period=PERIOD), 5, "the light function fails")
        self._alarm(
            "LightThrottles", light.function.metric_throttles(period=PERIOD), 5, "too little concurrency"
        )
        self._alarm("ModelFailures", _total("Failures", services), 3, "starts or turns fail")
        self._alarm(
            "CapsReached", _total("CapsReached", services), 1, "a daily cap of model seconds is reached"
        )
        unread = failures.unread.metric_approximate_number_of_messages_visible(
            period=PERIOD, statistic="Maximum"
        )
        self._alarm("Unread", unread, 1, "failures that the light function could not tell")

    def _alarm(self, name: str, value: cloudwatch.IMetric, threshold: int, meaning: str) -> None:
        alarm = cloudwatch.Alarm(
            self,
            name,
            alarm_description=f"Curtain: {meaning}",
            metric=value,
            threshold=threshold,
            evaluation_periods=1,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )
        alarm.add_alarm_action(actions.SnsAction(self.topic))


def _total(name: str, services: Sequence[str]) -> cloudwatch.MathExpression:
    parts = {f"m{number}": metric(name, service) for number, service in enumerate(services)}
    return cloudwatch.MathExpression(
        expression=f"SUM([{','.join(parts)}])", using_metrics=parts, period=PERIOD
    )
