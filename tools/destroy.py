"""`make destroy`: `cdk destroy`, and the images that only the destroyed functions used.

CDK keeps every image it ever pushed in the account's asset repository, where ECR asks $0.10 a GB a month.
"""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer
from botocore.exceptions import BotoCoreError, ClientError

from infra.context import OptionsError
from tools.cdk import CliError, empty_app, run
from tools.stack import Context, Deployed, find

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient


def destroy(deployed: Deployed) -> int:
    """Returns the CLI's exit status. Raises CliError, botocore's errors."""
    functions = deployed.session.client("lambda")
    images = {uri for name in deployed.functions() if (uri := _image(functions, name))}
    app = empty_app(deployed.name)
    region = {"AWS_REGION": deployed.session.region_name} if deployed.session.region_name else {}
    if status := run("destroy", deployed.name, "--force", "--app", app, "--no-notices", **region):
        return status
    others = [one["FunctionName"] for page in _pages(functions) for one in page["Functions"]]
    images -= {uri for name in others if (uri := _image(functions, name))}
    for uri in sorted(images):
        _remove(deployed, uri)
    print(f"{deployed.name} is gone, and {len(images)} images that only it used.")
    print(
        "What `cdk bootstrap` made is left; `.venv/bin/python -m tools.cdk gc --unstable=gc` takes images of "
        "earlier deploys out of it."
    )
    return 0


def _pages(functions: "LambdaClient") -> Any:
    return functions.get_paginator("list_functions").paginate()


def _image(functions: "LambdaClient", name: str) -> str | None:
    """The address of the image that a function runs, by the name it was deployed under."""
    code: Any = functions.get_function(FunctionName=name).get("Code", {})
    uri: str | None = code.get("ImageUri")
    return uri


def _remove(deployed: Deployed, uri: str) -> None:
    """`uri`: ACCOUNT.dkr.ecr.REGION.amazonaws.com/REPOSITORY:TAG"""
    repository, _, tag = uri.partition("/")[2].rpartition(":")
    ecr = deployed.session.client("ecr")
    ecr.batch_delete_image(repositoryName=repository, imageIds=[{"imageTag": tag}])


def main(
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    context: Context = None,
) -> None:
    """Removes the deployed stack, and what it cost."""
    try:
        deployed = find(context)
        if not yes:
            typer.confirm(f"Remove {deployed.name}, its stories and its page for good?", abort=True)
        status = destroy(deployed)
    except (OptionsError, CliError, ClientError, BotoCoreError) as error:
        sys.exit(f"curtain: {error}")
    raise typer.Exit(status)


if __name__ == "__main__":
    typer.run(main)
