"""The CDK app: `cdk synth`, `cdk deploy`."""

import aws_cdk as cdk

from infra.curtain_stack import CurtainStack

app = cdk.App()
CurtainStack(app, "Curtain")
app.synth()
