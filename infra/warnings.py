"""What is allowed, and should be known before it is deployed. CDK prints these at every synth."""

from collections.abc import Iterator

from infra.idle_prices import idle_prices
from infra.options import Options
from session.prices import prices


def warnings_of(options: Options) -> Iterator[tuple[str, str]]:
    """Id and text of each."""
    if options.auth == "open":
        yield (
            "open",
            'auth "open" lets anybody talk, at your cost. What remains are throttles and daily caps: model '
            f"time for ${_cost(options, options.model_seconds_per_day_address):.2f} per address, "
            f"${_cost(options, options.model_seconds_per_day):.2f} in all.",
        )
    if options.slots < options.capacity:
        yield (
            "capacity",
            f"capacity {options.capacity} is more than account_concurrency {options.account_concurrency} "
            f"allows; each model serves {options.slots} at a time. If your account's limit is higher "
            "(python -m infra.doctor tells), say so with account_concurrency.",
        )
    if options.provisioned_concurrency and not options.provisioned_hours:
        gigabytes = sum(options.memory_of(model) for model in options.models) / 1024
        hour = options.provisioned_concurrency * gigabytes * idle_prices().provisioned_gb_second * 3600
        yield (
            "provisioned",
            "provisioned_concurrency without provisioned_hours keeps models awake day and night: about "
            f"${hour * idle_prices().hours_month:.0f} a month.",
        )
    if options.vpc is not None:
        text = "model functions in a VPC don't get Lambda's full network bandwidth"
        if options.vpc == "new":
            nat = (idle_prices().nat_hour + idle_prices().public_address_hour) * idle_prices().hours_month
            text += f", and the NAT gateway costs about ${nat:.0f} a month, and its traffic"
        if options.weights == "s3":
            text += ". Their weights, which come over the network, take about a minute for 4.5 GB"
        yield "vpc", f"{text}."


def _cost(options: Options, seconds: int) -> float:
    """Dollars for so much time of the largest model."""
    largest = max(options.memory_of(model) for model in options.models)
    return prices().compute(seconds=seconds, memory_mb=largest)
