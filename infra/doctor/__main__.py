"""`python -m infra.doctor`: looks at the account and the machine before a deploy, and changes nothing."""

from collections.abc import Iterator
from typing import Annotated

import boto3
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from infra.context import OptionsError
from infra.doctor import account, quotas, tools, weights
from infra.doctor.finding import Finding, Level
from infra.doctor.wanted import Wanted, parse_context, read_wanted

MARKS = {Level.OK: "[green]ok[/]", Level.TODO: "[yellow]to do[/]", Level.BLOCKS: "[bold red]blocks[/]"}


def main(
    model: Annotated[str | None, typer.Option(help="A model of the catalog, instead of cdk.json's.")] = None,
    context: Annotated[
        list[str] | None, typer.Option("--context", "-c", help="KEY=VALUE, as for cdk deploy (repeatable).")
    ] = None,
    network: Annotated[bool, typer.Option(help="Ask AWS and the Hugging Face hub.")] = True,
) -> None:
    """Says in plain words what a deploy lacks, and how to get it. Exit status 1 if anything blocks it."""
    try:
        wanted = read_wanted(parse_context(context or [], model))
    except OptionsError as error:
        typer.echo(error, err=True)
        raise typer.Exit(1) from None
    aws = account.Aws(session=boto3.Session(region_name=wanted.region))
    findings = list(examine(wanted, aws, network=network))
    show(Console(), findings)
    if any(finding.level is Level.BLOCKS for finding in findings):
        raise typer.Exit(1)


def examine(wanted: Wanted, aws: account.Aws, *, network: bool = True) -> Iterator[Finding]:
    """Everything, one after the other. Without `network` the account is left out."""
    if network:
        whose = account.credentials(aws)
        where = account.region(aws)
        yield from (whose, where)
        if Level.BLOCKS not in (whose.level, where.level):
            yield account.bootstrap(aws)
            yield from quotas.quotas(aws, wanted)
    yield from tools.images()
    yield tools.cdk()
    yield from weights.weights(wanted, network=network)


def show(console: Console, findings: list[Finding]) -> None:
    """A line per finding, with what to do under it, and the sum of it all."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        table.add_row(MARKS[finding.level], escape(finding.about), escape(finding.says))
        if finding.do:
            table.add_row("", "", f"[cyan]→ {escape(finding.do)}[/]")
    console.print(table)
    blocking = sum(finding.level is Level.BLOCKS for finding in findings)
    console.print(
        f"\n[bold red]{blocking} of these would stop the deploy.[/]"
        if blocking
        else "\n[bold green]Nothing stops the deploy.[/]"
    )


if __name__ == "__main__":
    typer.run(main)
