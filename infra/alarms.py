"""Alarms by e-mail: what a house owner wants to be woken for."""

from collections.abc import Sequence
from typing import Final

from aws_cdk import Aws
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from infra.failures import Failures
from infra.metrics import PERIOD, metrics
from infra.options import Options
from infra.prologue_function import PrologueFunction

MOST: Final = 10  # metrics in one alarm; CloudWatch's docs ("Limits" of alarms): no quota raises it


class Alarms(Construct):
    """`topic` sends to `alarms_email`, once its owner has confirmed AWS's message. Each metric of an alarm
    is $0.10 a month beyond an account's first ten."""

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
        # Its policy (enforce_ssl) takes the place of the usual one, which lets the alarms of the account in.
        self.topic.add_to_resource_policy(_may_publish(self.topic))
        self._alarm("LightErrors", light.function.metric_errors(period=PERIOD), 5, "the light function fails")
        self._alarm(
            "LightThrottles", light.function.metric_throttles(period=PERIOD), 5, "too little concurrency"
        )
        written = metrics(options, "Failures")
        for number, first in enumerate(range(0, len(written), MOST), 1):
            part = _total(written[first : first + MOST])
            self._alarm(f"Failures{number}", part, 3, "starts, turns, frames or the ticket office fail")
        (caps,) = metrics(options, "CapsReached")
        self._alarm("CapsReached", caps, 1, "a daily cap of model seconds is reached")
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


def _may_publish(topic: sns.ITopic) -> iam.PolicyStatement:
    return iam.PolicyStatement(
        principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
        actions=["sns:Publish"],
        resources=[topic.topic_arn],
        conditions={"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}},
    )


def _total(summed: Sequence[cloudwatch.IMetric]) -> cloudwatch.MathExpression:
    parts = {f"m{number}": each for number, each in enumerate(summed)}
    return cloudwatch.MathExpression(
        expression=f"SUM([{','.join(parts)}])", using_metrics=parts, period=PERIOD
    )
