"""The light function: WebSocket events, authorizer, tickets, and what became of failed model invocations."""

from collections.abc import Mapping
from typing import Final

from aws_cdk import Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_event_sources as event_sources
from constructs import Construct

from infra.failures import Failures
from infra.functions import LIGHT_TIMEOUT, Backing, shared_environment, tracing
from infra.images import ARCHITECTURE, prologue_image
from infra.options import Options
from infra.session_table import SessionTable

MEMORY_MB: Final = 1024  # the FAQ's embedder computes with it


class PrologueFunction(Construct):
    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        options: Options,
        table: SessionTable,
        failures: Failures,
    ) -> None:
        super().__init__(scope, construct_id)
        backing = Backing(self, "Backing", options=options)
        self.log_group: Final = backing.log_group
        self.function: Final = lambda_.DockerImageFunction(
            self,
            "Function",
            description="Curtain: prologue, FAQ, tickets, and whatever must answer at once",
            code=prologue_image(options),
            architecture=ARCHITECTURE,
            memory_size=MEMORY_MB,
            timeout=LIGHT_TIMEOUT,
            reserved_concurrent_executions=options.light_concurrency,
            role=backing.role,
            log_group=backing.log_group,
            tracing=tracing(options),
            environment={
                **shared_environment(options, table=table.table.table_name, part="prologue"),
                "WORLDS": ",".join(options.worlds),
                "MODEL_MEMORY_MB": str(options.memory_of(options.models[0])),
                "AUTH_MODE": options.auth,
                "ALLOWED_ORIGINS": ",".join(options.allowed_origins),
            },
        )
        table.let_in(self.function)
        self.function.add_event_source(
            event_sources.SqsEventSource(failures.queue, batch_size=10, max_concurrency=2)
        )

    def play_with(self, models: Mapping[str, lambda_.IFunction]) -> None:
        """The model functions, or their aliases, the default first: what it may invoke, and nothing else."""
        arns = {name: model.function_arn for name, model in models.items()}
        self.function.add_environment("MODELS", Stack.of(self).to_json_string(arns))
        invoke = iam.PolicyStatement(actions=["lambda:InvokeFunction"], resources=list(arns.values()))
        self.function.add_to_role_policy(invoke)

    def open_at(self, callback_url: str) -> None:
        """Where it posts to, which is made after it because API Gateway must know it first."""
        self.function.add_environment("CALLBACK_URL", callback_url)
