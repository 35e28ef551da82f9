"""Who is let in: the secret that tickets are signed with, and the address where they are handed out.

Tickets themselves are the light function's (`prologue/tickets/`).
"""

from typing import Final

from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from infra.functions import removal
from infra.options import Options


class Tickets(Construct):
    """`url` answers to AWS's own signature only: CloudFront calls it for the page."""

    def __init__(
        self, scope: Construct, construct_id: str, *, options: Options, light: lambda_.Function
    ) -> None:
        super().__init__(scope, construct_id)
        # Secrets Manager makes one value; the access code is derived from it (`prologue.tickets.secret`).
        self.secret: Final = secretsmanager.Secret(
            self,
            "Secret",
            description="Curtain: signs tickets; the access code comes from it",
            generate_secret_string=secretsmanager.SecretStringGenerator(
                secret_string_template="{}",
                generate_string_key="key",
                password_length=64,
                exclude_punctuation=True,
            ),
            removal_policy=removal(options),
        )
        light.add_to_role_policy(
            iam.PolicyStatement(actions=["secretsmanager:GetSecretValue"], resources=[self.secret.secret_arn])
        )
        light.add_environment("SECRET_ARN", self.secret.secret_arn)
        if options.jwt:
            light.add_environment("JWT_ISSUER", options.jwt.issuer)
            light.add_environment("JWT_AUDIENCE", options.jwt.audience)
            if options.jwt.jwks_url:
                light.add_environment("JWT_JWKS_URL", options.jwt.jwks_url)
        self.url: Final = light.add_function_url(auth_type=lambda_.FunctionUrlAuthType.AWS_IAM)
