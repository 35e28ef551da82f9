"""What the deployed stack costs a month while nobody talks, and from how much talk on a machine that is
always on would be cheaper: `python -m infra.idle_cost`.

It is read off the synthesized template, so that nothing that the stack has is forgotten. The prices and where
they come from: `idle_prices.toml`.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from infra.context import OptionsError
from infra.doctor.wanted import Wanted, parse_context, read_wanted
from infra.hours import Hours
from infra.idle_prices import IdlePrices, break_even_hours, idle_prices
from infra.options import Options
from lambda_image.engine.convert.catalog import REPOSITORY
from session.prices import prices

DAYS_MONTH = 365 / 12


@dataclass(frozen=True, kw_only=True)
class Item:
    """Something that costs while nobody talks."""

    what: str
    usd: float  # a month


def idle_items(
    template: Mapping[str, Any],
    options: Options,
    weights_gb: Mapping[str, float],
    stored_gb: Mapping[str, float] | None = None,
) -> list[Item]:
    """What of `template` costs while idle, the dearest first. `weights_gb`: each model's, in its image;
    `stored_gb`: in S3."""
    paid = idle_prices()
    stored = (
        Item(what=f"weights of {model} in S3, {size:.2f} GB", usd=size * paid.stored_gb_month)
        for model, size in (stored_gb or {}).items()
    )
    items = [*_images(weights_gb, paid), *stored, *_awake(options, paid), *_resources(template, paid)]
    return sorted((item for item in items if item.usd), key=lambda item: -item.usd)


def _images(weights_gb: Mapping[str, float], paid: IdlePrices) -> Iterator[Item]:
    yield Item(
        what=f"image of the light function, {paid.image_gb:.2f} GB", usd=paid.image_gb * paid.image_gb_month
    )
    for model, weights in weights_gb.items():
        size = weights + paid.image_gb
        yield Item(what=f"image of {model}, {size:.2f} GB", usd=size * paid.image_gb_month)


def _awake(options: Options, paid: IdlePrices) -> Iterator[Item]:
    """Provisioned environments: all the time, or in the announced hours."""
    hours = announced_hours(options.provisioned_hours) if options.provisioned_hours else paid.hours_month
    for model in options.models if options.provisioned_concurrency else ():
        gb = options.memory_of(model) / 1024 * options.provisioned_concurrency
        yield Item(
            what=f"{options.provisioned_concurrency} x {model} kept awake, {hours:.0f} hours",
            usd=gb * hours * 3600 * paid.provisioned_gb_second,
        )


def announced_hours(schedule: tuple[Hours, ...]) -> float:
    """Hours a month. Where two announcements overlap, both are counted: dearer than it will be."""
    weekly = sum(len(hours.days) * _length(hours) for hours in schedule)
    return weekly / 7 * DAYS_MONTH


def _length(hours: Hours) -> float:
    start, end = (int(clock[:2]) + int(clock[3:]) / 60 for clock in (hours.start, hours.end))
    return end - start if end > start else end + 24 - start


def _resources(template: Mapping[str, Any], paid: IdlePrices) -> Iterator[Item]:
    resources: Mapping[str, Any] = template["Resources"]
    count = Counter(resource["Type"] for resource in resources.values())
    polls = _polled_queues(resources) * paid.queue_polls_hour * paid.hours_month
    for number, what, usd in (
        (count["AWS::SecretsManager::Secret"], "secret", paid.secret_month),
        (count["AWS::CloudWatch::Dashboard"], "dashboard", paid.dashboard_month),
        (_alarm_metrics(resources), "metrics with an alarm", paid.alarm_metric_month),
        (round(polls), "looks into the queue of failures", paid.queue_request),
        (count["AWS::EC2::NatGateway"], "NAT gateway", paid.hours_month * paid.nat_hour),
        (count["AWS::EC2::EIP"], "public address", paid.hours_month * paid.public_address_hour),
        (_endpoint_zones(resources), "endpoint in a zone", paid.hours_month * paid.endpoint_hour),
        (count["AWS::KMS::Key"], "key", paid.key_month),
    ):
        yield Item(what=f"{number:,} {what}", usd=number * usd)


def _of_type(resources: Mapping[str, Any], kind: str) -> Iterator[Mapping[str, Any]]:
    return (found.get("Properties", {}) for found in resources.values() if found["Type"] == kind)


def _alarm_metrics(resources: Mapping[str, Any]) -> int:
    """An alarm over an expression is paid for every metric in it."""
    alarms = _of_type(resources, "AWS::CloudWatch::Alarm")
    return sum(max(1, sum("MetricStat" in part for part in alarm.get("Metrics", ()))) for alarm in alarms)


def _polled_queues(resources: Mapping[str, Any]) -> int:
    queues = {name for name, found in resources.items() if found["Type"] == "AWS::SQS::Queue"}
    mappings = _of_type(resources, "AWS::Lambda::EventSourceMapping")
    return sum(mapping["EventSourceArn"]["Fn::GetAtt"][0] in queues for mapping in mappings)


def _endpoint_zones(resources: Mapping[str, Any]) -> int:
    endpoints = _of_type(resources, "AWS::EC2::VPCEndpoint")
    return sum(
        max(1, len(endpoint.get("SubnetIds", ())))
        for endpoint in endpoints
        if endpoint.get("VpcEndpointType") == "Interface"
    )


def report(
    template: Mapping[str, Any],
    options: Options,
    weights_gb: Mapping[str, float],
    stored_gb: Mapping[str, float] | None = None,
) -> str:
    """The items, their sum, and what talk costs beside it."""
    items, paid = idle_items(template, options, weights_gb, stored_gb), idle_prices()
    lines = [f"${item.usd:7.2f}  {item.what}" for item in items]
    lines.append(f"${sum(item.usd for item in items):7.2f}  a month while nobody talks, before any free tier")
    for model in options.models:
        memory_mb = options.memory_of(model)
        hour, most = prices().compute(seconds=3600, memory_mb=memory_mb), break_even_hours(memory_mb)
        lines += [
            f"${hour:7.2f}  for each hour in which {model} talks, or waits awake for the next words",
            f"          {most:,.0f} such hours cost as much as a {paid.machine} that is always on "
            f"(${paid.machine_month:,.2f} a month)",
        ]
    return "\n".join(lines)


def main(
    model: Annotated[str | None, typer.Option(help="A model of the catalog, instead of cdk.json's.")] = None,
    context: Annotated[
        list[str] | None, typer.Option("--context", "-c", help="KEY=VALUE, as for cdk deploy (repeatable).")
    ] = None,
    assembly: Annotated[
        Path | None, typer.Option(help="Where cdk has left its templates (cdk.out); else they are made anew.")
    ] = None,
) -> None:
    """Says what the stack costs a month while nobody talks, and what talk costs."""
    try:
        wanted = read_wanted(parse_context(context or [], model))
        template = _template(assembly, wanted) if assembly else _synthesized(wanted)
    except (OptionsError, OSError, ValueError) as error:
        typer.echo(error, err=True)
        raise typer.Exit(1) from None
    weights_gb = {model.name: (model.weights_bytes - model.streamed_bytes) / 1e9 for model in wanted.models}
    stored_gb = {model.name: model.streamed_bytes / 1e9 for model in wanted.models}
    typer.echo(report(template, wanted.options, weights_gb, stored_gb))


def _template(assembly: Path, wanted: Wanted) -> Mapping[str, Any]:
    text = (assembly / f"{wanted.options.stack}.template.json").read_text(encoding="utf-8")
    template: Mapping[str, Any] = json.loads(text)
    return template


def _synthesized(wanted: Wanted) -> Mapping[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        made = subprocess.run(
            [sys.executable, "app.py"],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            env=os.environ
            | {
                "CDK_OUTDIR": folder,
                "CDK_CONTEXT_JSON": json.dumps(wanted.context),
                "CDK_VALIDATION": "false",
            },
        )
        if made.returncode:
            raise OptionsError(made.stderr.strip())
        return _template(Path(folder), wanted)


if __name__ == "__main__":
    typer.run(main)
