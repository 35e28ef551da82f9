"""The stack: a light function that answers at once, and one for each model, behind one WebSocket."""

from typing import Any

from aws_cdk import Annotations, CfnOutput, Stack
from constructs import Construct

from infra.alarms import Alarms
from infra.budget import Budget
from infra.context import PREFIX
from infra.failures import Failures
from infra.gateway import Gateway
from infra.model_function import ModelFunction
from infra.monitoring import Monitoring
from infra.network import Network
from infra.options import Options
from infra.page import Page
from infra.parts import Vpc
from infra.prologue_function import PrologueFunction
from infra.session_table import SessionTable
from infra.tickets import Tickets
from infra.warnings import warnings_of
from infra.weights import BUCKET, Weights


class CurtainStack(Stack):
    """Raises OptionsError where a model has no bundle yet."""

    def __init__(self, scope: Construct, construct_id: str, *, options: Options, **stack: Any) -> None:
        super().__init__(
            scope, construct_id, description="Curtain: your own LLM, for interactive stories", **stack
        )
        self.options = options
        table = SessionTable(self, "Sessions", keep=options.removal == "retain")
        failures = Failures(self, "Failures")
        light = PrologueFunction(self, "Prologue", options=options, table=table, failures=failures)
        gateway = Gateway(self, "Gateway", options=options, light=light.function)
        network = _network(self, options)
        weights = Weights(self, "Weights", options=options) if options.weights == "s3" else None
        models = [
            ModelFunction(
                self,
                f"Model-{model}",
                model=model,
                options=options,
                table=table,
                failures=failures,
                network=network,
                weights=weights,
                callback_url=gateway.callback_url,
            )
            for model in options.models
        ]
        for function in (light.function, *(model.function for model in models)):
            gateway.let_post(function)
        light.play_with({model.model: model.target for model in models})
        light.open_at(gateway.callback_url)

        outputs = {
            "WebSocketUrl": gateway.url,
            "SessionTable": table.table.table_name,
            "PrologueFunction": light.function.function_name,
            "PrologueLogs": light.log_group.log_group_name,
            "ModelFunctions": ",".join(model.function.function_name for model in models),
            "ModelLogs": ",".join(model.log_group.log_group_name for model in models),
            "FailureQueue": failures.queue.queue_url,
        }
        if options.auth != "iam":  # whose clients sign what they send: no tickets, and no page could
            outputs |= self._page(light, gateway)
        if weights:
            outputs[BUCKET] = weights.bucket.bucket_name
        self._watch(gateway, light, models, failures)
        for name, value in outputs.items():
            CfnOutput(self, name, value=value)
        for warning_id, warning in warnings_of(options):
            Annotations.of(self).add_warning_v2(f"curtain:{warning_id}", warning)

    def _page(self, light: PrologueFunction, gateway: Gateway) -> dict[str, str]:
        tickets = Tickets(self, "Tickets", options=self.options, light=light.function)
        page = Page(
            self,
            "Page",
            options=self.options,
            websocket_origin=gateway.origin,
            websocket_url=gateway.url,
            tickets=tickets.url,
        )
        secret = tickets.secret.secret_arn
        outputs = {"PageUrl": page.url, "TicketFunctionUrl": tickets.url.url, "SecretArn": secret}
        if self.options.auth == "access-code":
            where = f"-c {PREFIX}region={self.region} -c {PREFIX}stack={self.stack_name}"
            outputs["AccessCode"] = f".venv/bin/python -m tools.code {where}"
        return outputs

    def _watch(
        self, gateway: Gateway, light: PrologueFunction, models: list[ModelFunction], failures: Failures
    ) -> None:
        options = self.options
        if options.dashboard:
            Monitoring(self, "Monitoring", options=options, gateway=gateway, light=light, models=models)
        if options.alarms_email:
            Alarms(
                self, "Alarms", options=options, email=options.alarms_email, light=light, failures=failures
            )
            if options.budget_usd:
                Budget(self, "Budget", dollars=options.budget_usd, email=options.alarms_email)


def _network(scope: Construct, options: Options) -> Network | None:
    if options.vpc is None:
        return None
    wanted = options.vpc if isinstance(options.vpc, Vpc) else None
    return Network(scope, "Network", wanted=wanted, files=options.weights == "s3")
