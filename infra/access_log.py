"""API Gateway's log of connections and messages: who, when, what became of it; never what was said."""

from typing import Final

from aws_cdk import ArnFormat, RemovalPolicy, Stack
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_apigatewayv2 as apigw
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.functions import removal, retention
from infra.options import Options

# The query string holds the ticket, so nothing here holds the query string. An address is hashed. Not
# `error.messageString`: that comes with quotes of its own, and no line with an error would be JSON.
FORMAT: Final = (
    '{"time":"$context.requestTime","event":"$context.eventType","route":"$context.routeKey",'
    '"status":"$context.status","connection":"$context.connectionId","request":"$context.requestId",'
    '"ticket":"$context.authorizer.ticket","address":"$context.authorizer.address",'
    '"error":"$context.error.message","integration":"$context.integrationErrorMessage"}'
)


class AccessLog(Construct):
    """API Gateway writes logs by a role that a whole account and region has in common. With `access_logs`
    "with-account-role" the stack makes it, and so replaces one that is there. It stays when the stack goes:
    nobody would give the account another one, and no API of the region could write logs."""

    def __init__(self, scope: Construct, construct_id: str, *, options: Options) -> None:
        super().__init__(scope, construct_id)
        self._log = logs.LogGroup(self, "Log", retention=retention(options), removal_policy=removal(options))
        self._account = self._make_role() if options.access_logs == "with-account-role" else None

    def write_for(self, stage: apigw.CfnStage) -> None:
        arn = Stack.of(self).format_arn(
            service="logs",
            resource="log-group",
            resource_name=self._log.log_group_name,
            arn_format=ArnFormat.COLON_RESOURCE_NAME,
        )
        stage.access_log_settings = apigw.CfnStage.AccessLogSettingsProperty(
            destination_arn=arn, format=FORMAT
        )
        if self._account:
            stage.add_resource_dependency(self._account)

    def _make_role(self) -> apigateway.CfnAccount:
        policy = iam.ManagedPolicy.from_aws_managed_policy_name(
            "service-role/AmazonAPIGatewayPushToCloudWatchLogs"
        )
        role = iam.Role(
            self,
            "Role",
            assumed_by=iam.ServicePrincipal("apigateway.amazonaws.com"),
            managed_policies=[policy],
        )
        account = apigateway.CfnAccount(self, "Account", cloud_watch_role_arn=role.role_arn)
        for kept in (role, account):
            kept.apply_removal_policy(RemovalPolicy.RETAIN)
        return account
