"""The WebSocket API: who may connect, how often anyone may speak, and where functions post to."""

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Final

from aws_cdk import Aws
from aws_cdk import aws_apigatewayv2 as apigw
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk.aws_apigatewayv2_authorizers import WebSocketIamAuthorizer, WebSocketLambdaAuthorizer
from aws_cdk.aws_apigatewayv2_integrations import WebSocketLambdaIntegration
from constructs import Construct
from pydantic import Field, PositiveInt, TypeAdapter

from infra.access_log import AccessLog
from infra.options import Options
from infra.parts import Part

STAGE: Final = "prod"
TICKET: Final = "route.request.querystring.t"  # without it API Gateway refuses by itself
THROTTLES: Final = Path(__file__).with_name("throttles.toml")


class Throttle(Part):
    rate: PositiveInt  # requests a second
    burst: Annotated[int, Field(ge=1, le=5000)]


@cache
def throttles() -> Mapping[str, Throttle]:
    """By route, and `default`."""
    return TypeAdapter(dict[str, Throttle]).validate_python(tomllib.loads(THROTTLES.read_text("utf-8")))


class Gateway(Construct):
    def __init__(
        self, scope: Construct, construct_id: str, *, options: Options, light: lambda_.IFunction
    ) -> None:
        super().__init__(scope, construct_id)
        # Nothing here may be called "Default": CDK leaves that out of logical ids, and two of them collide.
        to_light = WebSocketLambdaIntegration("Light", light)
        route = apigw.WebSocketRouteOptions(integration=to_light)
        self.api: Final = apigw.WebSocketApi(
            self,
            "Api",
            route_selection_expression="$request.body.action",
            connect_route_options=apigw.WebSocketRouteOptions(
                integration=to_light, authorizer=_authorizer(options, light)
            ),
            disconnect_route_options=route,
            default_route_options=route,
        )
        for key in throttles():
            if key != "default" and not key.startswith("$"):
                self.api.add_route(key, integration=to_light)
        whole = throttles()["default"]
        self._stage: Final = apigw.WebSocketStage(
            self,
            "Stage",
            web_socket_api=self.api,
            stage_name=STAGE,
            auto_deploy=True,
            throttle=apigw.ThrottleSettings(rate_limit=whole.rate, burst_limit=whole.burst),
        )
        self._stage.node.add_dependency(self.api)  # throttles of a route that isn't there yet are refused
        settings = self._stage.node.default_child
        assert isinstance(settings, apigw.CfnStage)
        settings.route_settings = {
            key: {"ThrottlingRateLimit": limit.rate, "ThrottlingBurstLimit": limit.burst}
            for key, limit in throttles().items()
            if key != "default"
        }
        if options.access_logs != "off":
            AccessLog(self, "AccessLog", options=options).write_for(settings)
        host = f"{self.api.api_id}.execute-api.{Aws.REGION}.{Aws.URL_SUFFIX}"
        self.origin: Final = f"wss://{host}"
        self.url: Final = f"{self.origin}/{STAGE}"
        # Put together here and not asked of the stage: functions are told of it, and the stage waits for
        # routes, which wait for a function.
        self.callback_url: Final = f"https://{host}/{STAGE}"

    def let_post(self, function: iam.IGrantable) -> None:
        """Posting to this stage's connections; no other stage's or API's, nor closing or reading them."""
        iam.Grant.add_to_principal(
            grantee=function,
            actions=["execute-api:ManageConnections"],
            resource_arns=[
                f"arn:{Aws.PARTITION}:execute-api:{Aws.REGION}:{Aws.ACCOUNT_ID}:{self.api.api_id}"
                f"/{STAGE}/POST/@connections/*"
            ],
        )


def _authorizer(options: Options, light: lambda_.IFunction) -> apigw.IWebSocketRouteAuthorizer:
    if options.auth == "iam":
        return WebSocketIamAuthorizer()
    return WebSocketLambdaAuthorizer("Tickets", light, identity_source=[TICKET])
