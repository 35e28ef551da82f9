"""What both kinds of function have in common: a log, a role that may only write it, and their settings."""

from typing import Final

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.options import Options
from session.telemetry import NAMESPACE

LIGHT_TIMEOUT: Final = Duration.seconds(29)  # API Gateway waits no longer
MODEL_TIMEOUT: Final = Duration.minutes(15)  # Lambda's longest
EVENT_AGE: Final = Duration.seconds(60)  # Lambda's shortest: who waits longer is told so, and asks again


class Backing(Construct):
    """Log group and role. AWS's managed policy would let it make and write every log of the account."""

    def __init__(self, scope: Construct, construct_id: str, *, options: Options) -> None:
        super().__init__(scope, construct_id)
        self.log_group: Final = logs.LogGroup(
            self,
            "Log",
            retention=retention(options),
            removal_policy=removal(options),
        )
        self.role: Final = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        self.log_group.grant_write(self.role)


def removal(options: Options) -> RemovalPolicy:
    return RemovalPolicy.DESTROY if options.removal == "destroy" else RemovalPolicy.RETAIN


def retention(options: Options) -> logs.RetentionDays:
    return logs.RetentionDays[_RETENTION[options.retention_days]]


def service_name(options: Options, part: str) -> str:
    """Names a function in metrics and logs: two stacks of an account stay apart."""
    return f"{options.stack}-{part}".lower()


def shared_environment(options: Options, *, table: str, part: str) -> dict[str, str]:
    """What every function is told."""
    return {
        "TABLE_NAME": table,
        "CAPACITY": str(options.slots),
        "MODEL_SECONDS_PER_DAY": str(options.model_seconds_per_day),
        "MODEL_SECONDS_PER_DAY_TICKET": str(options.model_seconds_per_day_ticket),
        "MODEL_SECONDS_PER_DAY_ADDRESS": str(options.model_seconds_per_day_address),
        "POWERTOOLS_SERVICE_NAME": service_name(options, part),
        "POWERTOOLS_METRICS_NAMESPACE": NAMESPACE,
        "POWERTOOLS_LOG_LEVEL": "INFO",
    }


def tracing(options: Options) -> lambda_.Tracing:
    return lambda_.Tracing.ACTIVE if options.tracing else lambda_.Tracing.DISABLED


_RETENTION: Final = {
    1: "ONE_DAY",
    3: "THREE_DAYS",
    5: "FIVE_DAYS",
    7: "ONE_WEEK",
    14: "TWO_WEEKS",
    30: "ONE_MONTH",
    60: "TWO_MONTHS",
    90: "THREE_MONTHS",
    120: "FOUR_MONTHS",
    150: "FIVE_MONTHS",
    180: "SIX_MONTHS",
    365: "ONE_YEAR",
    400: "THIRTEEN_MONTHS",
    545: "EIGHTEEN_MONTHS",
    731: "TWO_YEARS",
}
