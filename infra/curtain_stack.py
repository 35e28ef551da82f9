"""The stack: for now the session table, with the keys and the expiry that `session/dynamodb.py` uses.

The functions, the WebSocket API and the page follow with the cloud; nothing here stands in for them.
"""

from aws_cdk import CfnOutput, RemovalPolicy, Stack
from aws_cdk import aws_dynamodb as dynamodb
from constructs import Construct


class CurtainStack(Stack):
    def __init__(self, scope: Construct, construct_id: str) -> None:
        super().__init__(scope, construct_id, description="Curtain: your own LLM, for interactive stories")
        table = dynamodb.TableV2(
            self,
            "Sessions",
            partition_key=dynamodb.Attribute(name="pk", type=dynamodb.AttributeType.STRING),
            sort_key=dynamodb.Attribute(name="sk", type=dynamodb.AttributeType.STRING),
            billing=dynamodb.Billing.on_demand(),
            time_to_live_attribute="expires",
            removal_policy=RemovalPolicy.DESTROY,
        )
        CfnOutput(self, "SessionTable", value=table.table_name)
