"""`make code`: the deployed house's access code."""

import sys

import typer
from botocore.exceptions import BotoCoreError, ClientError

from infra.context import OptionsError
from prologue.tickets.secret import Secret
from tools.stack import Context, NotDeployed, find, told


def main(
    context: Context = None,
) -> None:
    """Prints the access code, for its owner to pass on."""
    try:
        deployed = find(context)
        if "AccessCode" not in deployed.outputs:
            sys.exit(f"curtain: {deployed.name} asks for no access code")
        secrets = deployed.session.client("secretsmanager")
        value = secrets.get_secret_value(SecretId=deployed.outputs["SecretArn"])["SecretString"]
    except (OptionsError, NotDeployed, ClientError, BotoCoreError) as error:
        sys.exit(f"curtain: {told(error)}")
    print(Secret.model_validate_json(value).access_code)


if __name__ == "__main__":
    typer.run(main)
