"""`make destroy`: `cdk destroy`, and the images that only the destroyed functions used."""

import sys
from collections.abc import Mapping
from typing import Annotated

import typer
from botocore.exceptions import BotoCoreError, ClientError

from infra.context import OptionsError
from infra.idle_prices import idle_prices
from tools.cdk import empty_app, run
from tools.images import NotRemoved, gc, images_left, images_of, remove_unused
from tools.npm import NpmError
from tools.stack import ELSEWHERE, Context, Deployed, NotDeployed, find, told

KEPT = ("Retain", "RetainExceptOnCreate")  # CloudFormation's deletion policies that leave what there is


def destroy(deployed: Deployed) -> int:
    """Returns the CLI's exit status. A second try goes on where the first one stopped.

    Raises NotDeployed if neither the stack nor an image of it is there, NotRemoved, NpmError, botocore's
    errors.
    """
    images = images_of(deployed) | images_left(deployed)
    if deployed.stack is not None:
        arguments = (deployed.name, "--force", "--app", empty_app(deployed.name), "--no-notices")
        if status := run("destroy", *arguments, AWS_REGION=deployed.region):
            return status
    removed = remove_unused(deployed.session, images)
    if deployed.stack is None and not removed:
        raise NotDeployed(
            f"there is no stack {deployed.name} in {deployed.region}, and no image of it: nothing was taken "
            f"away. If it lives elsewhere, say so: make destroy {ELSEWHERE}"
        )
    print(f"{deployed.name} is gone, and with it the images that only it used: {removed}.")
    print(
        f"What `cdk bootstrap` made is left. `{gc(deployed.region)}` takes out of it what failed updates "
        "had pushed, and all else that no stack of the account uses."
    )
    return 0


def kept(deployed: Deployed) -> list[str]:
    """What stays when the stack goes and goes on costing, a line for each. Raises botocore's errors."""
    if deployed.stack is None:
        return []
    resources, costs = deployed.resources(), _costs()
    found = [
        (resources[name], resource["Type"])
        for name, resource in deployed.template().get("Resources", {}).items()
        if resource.get("DeletionPolicy") in KEPT and name in resources and resource["Type"] in costs
    ]
    return [f"{kind} {name}: {costs[kind]}" for name, kind in sorted(found)]


def _costs() -> Mapping[str, str]:
    prices = idle_prices()
    return {
        "AWS::SecretsManager::Secret": f"${prices.secret_month:.2f} a month",
        "AWS::S3::Bucket": f"${prices.stored_gb_month:.3f} a GB and month",
        "AWS::DynamoDB::GlobalTable": "by the GB",
        "AWS::Logs::LogGroup": "by the GB",
    }


def main(
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    context: Context = None,
) -> None:
    """Removes the deployed stack, and what it cost."""
    try:
        deployed = find(context)
        stays = kept(deployed)
        if stays:
            print(f"These stay when {deployed.name} goes (removal: retain), for you to remove:")
            print(*(f"    {line}" for line in stays), sep="\n", flush=True)
        if deployed.stack and not yes:
            asked = "and all but these" if stays else "its stories and its page"
            typer.confirm(f"Remove {deployed.name} in {deployed.region}, {asked}, for good?", abort=True)
        status = destroy(deployed)
    except (OptionsError, NotDeployed, NotRemoved, NpmError, ClientError, BotoCoreError) as error:
        sys.exit(f"curtain: {told(error)}")
    raise typer.Exit(status)


if __name__ == "__main__":
    typer.run(main)
