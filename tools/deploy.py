"""`make deploy MODEL=…`: packs the model, asks the doctor, says what it will cost, and deploys."""

import subprocess
import sys
from typing import Annotated

import typer

from infra.context import OptionsError
from infra.doctor.wanted import Wanted, parse_context, read_wanted
from lambda_image.engine.bundle.manifest import MANIFEST
from tools.cdk import REPOSITORY, CliError, environment, run
from tools.stack import Context

ASSEMBLY = REPOSITORY / "cdk.out"
NEXT = """\

The access code: make code. Then open PageUrl, or
    make chat  URL=PageUrl CODE=…
    make smoke URL=PageUrl CODE=…      five minutes that prove the whole house
    make logs                          what the functions say
    make destroy                       takes everything away"""


def deploy(wanted: Wanted, given: list[str], *, doctor: bool, yes: bool) -> int:
    """`given`: `-c KEY=VALUE ...`. Returns the exit status of what failed, or 0. Raises CliError."""
    for model in wanted.models:
        if not (model.bundle / MANIFEST).exists() and (
            status := _module("lambda_image.engine.convert.build", model.name, "--target", "arm64")
        ):
            return status
    if doctor and (status := _module("infra.doctor", *given)):
        return status
    options = wanted.options
    if status := run("synth", "--quiet", "--output", str(ASSEMBLY), "--no-notices", *given):
        return status
    _module("infra.idle_cost", "--assembly", str(ASSEMBLY), *given)
    asking = ("--require-approval", "never") if yes else ()
    region = {"AWS_REGION": options.region} if options.region else {}
    status = run("deploy", options.stack, "--app", str(ASSEMBLY), "--no-notices", *asking, **region)
    if not status:
        print(NEXT)
    return status


def _module(name: str, *arguments: str) -> int:
    print(f"\n== {name}", flush=True)
    return subprocess.call([sys.executable, "-m", name, *arguments], cwd=REPOSITORY, env=environment())


def main(
    model: Annotated[str | None, typer.Option(help="A model of the catalog, instead of cdk.json's.")] = None,
    context: Context = None,
    doctor: Annotated[bool, typer.Option(help="Look at the account and the machine before.")] = True,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask before permissions are given.")] = False,
) -> None:
    """Deploys the house to the AWS account whose credentials are found here."""
    try:
        named = parse_context(context or [], model)
        wanted = read_wanted(named)
        given = [part for key, value in named.items() for part in ("-c", f"{key}={value}")]
        status = deploy(wanted, given, doctor=doctor, yes=yes)
    except (OptionsError, CliError) as error:
        sys.exit(f"curtain: {error}")
    raise typer.Exit(status)


if __name__ == "__main__":
    typer.run(main)
