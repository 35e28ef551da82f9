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
from tools.weights import ERRORS, bring

ASSEMBLY = REPOSITORY / "cdk.out"
NEXT = """
Next:{code}
    {admitted}make chat URL={url}{signed}
    {admitted}make smoke URL={url}{signed}     # five minutes that prove the whole house
    make logs        # what the functions say
    make destroy     # takes everything away"""
CODE = """
    make code        # what the page at PageUrl asks for"""
ADMITTED = {"access-code": "CODE=$(make -s code) ", "jwt": "TOKEN=... "}


def deploy(wanted: Wanted, given: list[str], *, doctor: bool, yes: bool) -> int:
    """`given`: `-c KEY=VALUE ...`. Returns the exit status of what failed, or 0. Raises CliError, and what
    `bring` raises."""
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
    streamed = options.weights == "s3"
    if streamed:  # before the functions that read them, or, the first time, after the bucket
        bring(wanted)
    region = {"AWS_REGION": options.region} if options.region else {}
    status = run("deploy", options.stack, "--app", str(ASSEMBLY), "--no-notices", *asking, **region)
    if status:
        return status
    if streamed:
        print(
            "\nThe stack is there; its weights follow (python -m tools.weights sends them too).", flush=True
        )
        bring(wanted, prunes=True)
    url, signed = ("WebSocketUrl", " IAM=1") if options.auth == "iam" else ("PageUrl", "")
    code = CODE if options.auth == "access-code" else ""
    print(NEXT.format(code=code, admitted=ADMITTED.get(options.auth, ""), url=url, signed=signed))
    return 0


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
    except (OptionsError, CliError, *ERRORS) as error:
        sys.exit(f"curtain: {error}")
    raise typer.Exit(status)


if __name__ == "__main__":
    typer.run(main)
