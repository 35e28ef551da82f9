"""A model function: invoked asynchronously, once, and never by itself."""

from typing import Final

from aws_cdk import TimeZone
from aws_cdk import aws_applicationautoscaling as scaling
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_destinations as destinations
from constructs import Construct

from infra.failures import Failures
from infra.functions import EVENT_AGE, MODEL_TIMEOUT, Backing, shared_environment, tracing
from infra.images import ARCHITECTURE, model_image
from infra.network import Network
from infra.options import Options
from infra.session_table import SessionTable
from infra.weights import Weights


class ModelFunction(Construct):
    """`target` is what is invoked: the function, or its alias where environments are kept awake. Permissions
    and the settings of asynchronous invocation belong to it."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        model: str,
        options: Options,
        table: SessionTable,
        failures: Failures,
        network: Network | None,
        weights: Weights | None,
        callback_url: str,
    ) -> None:
        super().__init__(scope, construct_id)
        backing = Backing(self, "Backing", options=options)
        self.model: Final = model
        self.log_group: Final = backing.log_group
        if network:
            network.let_in(backing.role)
        if weights:
            weights.let_read(backing.role, model)
        self.function: Final = lambda_.DockerImageFunction(
            self,
            "Function",
            description=f"Curtain: {model}",
            code=model_image(self, options, model),
            architecture=ARCHITECTURE,
            memory_size=options.memory_of(model),
            timeout=MODEL_TIMEOUT,
            role=backing.role,
            log_group=backing.log_group,
            tracing=tracing(options),
            reserved_concurrent_executions=options.reserved_concurrency,
            vpc=network.vpc if network else None,
            vpc_subnets=network.subnets if network else None,
            security_groups=network.security_groups if network else None,
            environment={
                **shared_environment(options, table=table.table.table_name, part=model),
                "CALLBACK_URL": callback_url,
                "MODEL_NAME": model,
                **({"WEIGHTS_URL": weights.url(model)} if weights else {}),
            },
        )
        table.let_in(self.function)
        self.target: Final = self._alias(options) if options.provisioned_concurrency else self.function
        self.target.configure_async_invoke(
            retry_attempts=0,  # a retry minutes later would tell the same turn to nobody
            max_event_age=EVENT_AGE,
            on_failure=destinations.SqsDestination(failures.queue),
        )

    def _alias(self, options: Options) -> lambda_.Alias:
        wanted, hours = options.provisioned_concurrency, options.provisioned_hours
        alias = lambda_.Alias(
            self,
            "Awake",
            alias_name="awake",
            version=self.function.current_version,
            provisioned_concurrent_executions=None if hours else wanted,
        )
        if hours:
            target = alias.add_auto_scaling(min_capacity=0, max_capacity=wanted)
            for number, announced in enumerate(hours, 1):
                zone = TimeZone.of(announced.timezone)
                for name, cron, count in (("Open", announced.opens, wanted), ("Close", announced.closes, 0)):
                    target.scale_on_schedule(
                        f"{name}{number}",
                        schedule=scaling.Schedule.expression(cron),
                        time_zone=zone,
                        min_capacity=count,
                        max_capacity=count,
                    )
        return alias
