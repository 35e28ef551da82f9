"""`make deploy MODEL=…`: packs the model, asks the doctor, says what it will cost, deploys, and takes the
images away that are replaced."""

import subprocess
import sys
from typing import Annotated

import typer
from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console

from infra.context import PREFIX, OptionsError
from infra.doctor import account, weights
from infra.doctor.__main__ import show
from infra.doctor.finding import Level
from infra.doctor.wanted import Wanted, parse_context, read_wanted
from lambda_image.engine.bundle.manifest import MANIFEST
from tools.cdk import REPOSITORY, environment, run
from tools.images import NotRemoved, gc, images_of, remove_unused
from tools.npm import NpmError
from tools.stack import Context, Deployed, deployed_as, told
from tools.weights import ERRORS, bring

ASSEMBLY = REPOSITORY / "cdk.out"
NEXT = """
Next:{code}
    {admitted}make chat URL={url}{signed}
    {admitted}make smoke URL={url}{signed}     # five minutes that prove the whole house
    make logs{where}        # what the functions say
    make destroy{where}     # takes everything away"""
CODE = """
    make code{where}        # what the page at PageUrl asks for"""
ADMITTED = {"access-code": "CODE=$(make -s code{where}) ", "jwt": "TOKEN=... "}
BLOCKED = """
The doctor stops the deploy before anything is sent. Mend what it says; or, if you know better:
    make deploy … ARGS="--no-doctor …"     # with the rest as it was"""
FAILED = """
The deploy failed; what it says above tells why. When that is mended, make deploy goes on. Or:
    make destroy{where}     # takes away what was made so far, images too"""
NOT_UPDATED = """
The deploy failed; what it says above tells why. The house is as it was before; images that were sent for it
stay, and cost, until the next deploy needs them or this takes them away:
    {gc}"""


def deploy(wanted: Wanted, given: list[str], *, doctor: bool, yes: bool) -> int:
    """`given`: `-c KEY=VALUE ...`. Returns the exit status of what failed, or 0. Raises NpmError, and what
    `bring` raises."""
    missing = [model for model in wanted.models if not (model.bundle / MANIFEST).exists()]
    if missing and doctor and not _worth_packing(wanted):
        print(BLOCKED)
        return 1
    for model in missing:
        if status := _module("lambda_image.engine.convert.build", model.name, "--target", "arm64"):
            return status
    if doctor and (status := _module("infra.doctor", *given)):
        print(BLOCKED)
        return status
    options = wanted.options
    if status := run("synth", "--quiet", "--output", str(ASSEMBLY), "--no-notices", *given):
        return status
    _module("infra.idle_cost", "--assembly", str(ASSEMBLY), *given)
    asking = ("--require-approval", "never") if yes else ()
    streamed = options.weights == "s3"
    if streamed:  # before the functions that read them, or, the first time, after the bucket
        bring(wanted)
    where, deployed = _where(given), deployed_as(wanted)
    before = _images(deployed)
    region = {"AWS_REGION": deployed.region} if deployed.region else {}
    status = run("deploy", options.stack, "--app", str(ASSEMBLY), "--no-notices", *asking, **region)
    if status:
        print(NOT_UPDATED.format(gc=gc(deployed.region)) if before else FAILED.format(where=where))
        return status
    if streamed:
        print(
            "\nThe stack is there; its weights follow (python -m tools.weights sends them too).", flush=True
        )
        bring(wanted, prunes=True)
    _remove(deployed_as(wanted), before)
    url, signed = ("WebSocketUrl", " IAM=1") if options.auth == "iam" else ("PageUrl", "")
    code = CODE.format(where=where) if options.auth == "access-code" else ""
    admitted = ADMITTED.get(options.auth, "").format(where=where)
    print(NEXT.format(code=code, admitted=admitted, url=url, signed=signed, where=where))
    return 0


def _worth_packing(wanted: Wanted) -> bool:
    """Whether nothing stands against it that is known before gigabytes are fetched: account, region, disk."""
    aws = account.Aws(session=deployed_as(wanted).session)
    found = [account.credentials(aws), account.region(aws), weights.disk(wanted)]
    blocking = [finding for finding in found if finding.level is Level.BLOCKS]
    if blocking:
        show(Console(), blocking)
    return not blocking


def _where(given: list[str]) -> str:
    """How the commands that come after find the same stack."""
    place = tuple(f"{PREFIX}{option}=" for option in ("region", "stack"))
    pairs = [f"-c {pair}" for pair in given if pair.startswith(place)]
    return f' ARGS="{" ".join(pairs)}"' if pairs else ""


def _images(deployed: Deployed) -> set[str]:
    """Of the stack as it is. Whoever may not look can deploy all the same, and has none taken away."""
    try:
        return images_of(deployed)
    except (ClientError, BotoCoreError):
        return set()


def _remove(deployed: Deployed, before: set[str]) -> None:
    """Takes away those of `before` that were replaced: no rollback asks for them any more."""
    if not before:
        return
    try:
        if count := remove_unused(deployed.session, before - images_of(deployed)):
            print(f"\nimages of the deploy before, which nobody uses any more, are deleted: {count}")
    except (NotRemoved, ClientError, BotoCoreError) as error:
        print(f"\nimages of the deploy before are left, and cost: {error}\n    {gc(deployed.region)}")


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
    except (OptionsError, NpmError, *ERRORS) as error:
        sys.exit(f"curtain: {told(error)}")
    raise typer.Exit(status)


if __name__ == "__main__":
    typer.run(main)
