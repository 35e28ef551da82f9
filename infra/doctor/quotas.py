"""What the account lets Lambda have: memory, concurrency, bandwidth. New accounts get less than the price
list says."""

import re
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from infra.context import PREFIX
from infra.doctor.account import Aws, asked, code
from infra.doctor.finding import Finding, blocks, ok, todo
from infra.doctor.wanted import Wanted
from infra.options import NEVER_RESERVED, Options
from lambda_image.engine.convert.catalog import MEMORY_LIMIT_MB, load_catalog

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_service_quotas.type_defs import ServiceQuotaTypeDef

MEMORY, CONCURRENCY, NETWORK = "Lambda memory", "Lambda concurrency", "Lambda bandwidth"
FRESH_MEMORY_MB = 3008  # at most in a new account: Lambda's docs say "reduced", many reports say how much
ESTABLISHED = 1000  # concurrent executions, Lambda's default quota; a new account has fewer, often 10
BANDWIDTH = "Network bandwidth per execution environment"  # opt-in since 2026-08, no charge
BANDWIDTH_MBPS = 3000  # the most that can be asked for
CONSOLE = "Service Quotas → AWS services → AWS Lambda"
SEEN_BY = "lambda:GetAccountSettings, lambda:GetFunctionConcurrency and cloudformation:ListStackResources"
REQUEST = "aws service-quotas request-service-quota-increase --service-code lambda --quota-code"
TOO_MUCH = re.compile(r"MemorySize.*less than or equal to (\d+)", re.IGNORECASE | re.DOTALL)


def quotas(aws: Aws, wanted: Wanted) -> Iterator[Finding]:
    """Memory, concurrency and bandwidth against what is wanted."""
    yield asked(MEMORY, "lambda:GetAccountSettings", lambda: memory(aws, wanted))
    yield asked(CONCURRENCY, SEEN_BY, lambda: concurrency(aws, wanted))
    streamed = wanted.options.weights == "s3"
    yield asked(NETWORK, "servicequotas:ListServiceQuotas", lambda: bandwidth(aws, streamed=streamed))


def memory(aws: Aws, wanted: Wanted) -> Finding:
    """Whether a function may have the memory that the model needs.

    No quota and no setting tells. Three things do, from the surest to a guess: a function that has more than
    a new account's may have; Lambda's refusal of such memory for a function that doesn't exist (nothing can
    come of that request, however it is answered; but "no such function" proves nothing, because nobody
    promises what Lambda checks first); the concurrency, of which new accounts get less as well.
    """
    needs = wanted.memory_mb
    if needs <= FRESH_MEMORY_MB:
        return ok(MEMORY, f"{needs:,} MB are wanted: every account may have that")
    client = aws.lambda_()
    most = _most_memory(client)
    if most > FRESH_MEMORY_MB:
        return ok(MEMORY, f"a function with {most:,} MB is here already: {needs:,} should be no trouble")
    limit = _refused_above(client, needs)
    if limit is not None:
        return blocks(
            MEMORY,
            f"functions of this account get {limit:,} MB at most, {needs:,} are wanted",
            _case(aws.region, limit),
        )
    concurrent = client.get_account_settings()["AccountLimit"]["ConcurrentExecutions"]
    if concurrent < ESTABLISHED:
        return blocks(
            MEMORY,
            f"most likely {FRESH_MEMORY_MB:,} MB at most, {needs:,} are wanted: an account that may run "
            f"{concurrent} functions at once looks new, and new ones stop there. AWS says so only when the "
            "image has been sent and the function is made, and everything is rolled back",
            f"{_case(aws.region, FRESH_MEMORY_MB)}. If AWS has given this account more already, go on with "
            'make deploy ARGS="--no-doctor": once a function has it, the doubt is gone',
        )
    return ok(MEMORY, f"nothing speaks against {needs:,} MB (for sure AWS tells only in the deploy)")


def _most_memory(client: "LambdaClient") -> int:
    try:
        pages = client.get_paginator("list_functions").paginate()
        return max((found["MemorySize"] for page in pages for found in page["Functions"]), default=0)
    except ClientError:
        return 0  # not allowed to look: the other signs are left


def _refused_above(client: "LambdaClient", memory_mb: int) -> int | None:
    nobody = f"curtain-doctor-{uuid.uuid4().hex}"
    try:
        client.update_function_configuration(FunctionName=nobody, MemorySize=memory_mb)
    except ClientError as error:
        found = TOO_MUCH.search(error.response.get("Error", {}).get("Message", ""))
        return int(found[1]) if found else None
    return None


def _case(region: str | None, limit: int) -> str:
    fitting = [entry.name for entry in load_catalog().models.values() if entry.memory_mb <= limit]
    return (
        "no quota list has it: open a case (free on every support plan; takes days) with Support Center → "
        "Create case → Service limit increase (or: Account and billing) → Lambda, and write: "
        f'"Please raise the maximum memory of Lambda functions in {region} from {limit:,} MB to '
        f"{MEMORY_LIMIT_MB:,} MB for this account. They run a language model, whose weights don't fit in "
        f'less." Until then deploy one that fits, as {PREFIX}models: {", ".join(fitting)}'
    )


def concurrency(aws: Aws, wanted: Wanted) -> Finding:
    """How many listeners the models can serve at once, and whether as much as wanted can be reserved, or
    kept awake."""
    options, models = wanted.options, len(wanted.models)
    account = aws.lambda_().get_account_settings()["AccountLimit"]
    limit, unreserved = account["ConcurrentExecutions"], account["UnreservedConcurrentExecutions"]
    reservable = max(0, unreserved - NEVER_RESERVED)
    raise_it = (
        f"{CONSOLE} → Concurrent executions → Request increase, to {ESTABLISHED}; or: {REQUEST} L-B99A9384 "
        f"--desired-value {ESTABLISHED}"
    )
    apart = options.set_apart
    own = _reserved_by(aws, options) if apart > reservable else 0
    if apart > (reservable := reservable + own):
        name, instead = options.concurrency_option()
        return blocks(
            CONCURRENCY,
            f"{apart} environments are to be set apart, {reservable} can be: of this account's "
            f"{limit:,}, Lambda keeps {NEVER_RESERVED} for all other functions, and {limit - unreserved} are "
            f"reserved already, {own} of them by this stack",
            f"leave {PREFIX}{name} out ({instead}), or {raise_it}",
        )
    if options.account_concurrency > limit:
        return blocks(
            CONCURRENCY,
            f"{PREFIX}account_concurrency says {options.account_concurrency}, the account has {limit}: "
            "listeners would be let in whom Lambda then refuses",
            f"set {PREFIX}account_concurrency to {limit}, or {raise_it}",
        )
    serves = min(options.capacity, max(0, limit - options.light_room) // models)
    if serves < options.capacity:
        return todo(
            CONCURRENCY,
            f"{limit} functions at once: {serves} listeners at a time for each model, not "
            f"{options.capacity}; {options.light_room} are kept for the light function",
            raise_it,
        )
    if options.slots < options.capacity:
        return todo(
            CONCURRENCY,
            f"the account has {limit:,}, {PREFIX}account_concurrency says {options.account_concurrency}: so "
            f"each model serves {options.slots} listeners at a time, not {options.capacity}",
            f"set {PREFIX}account_concurrency to {limit}",
        )
    return ok(
        CONCURRENCY,
        f"{limit:,} functions at once, of which {reservable:,} can be reserved: {serves} listeners at a time "
        "for each model, as wanted",
    )


def _reserved_by(aws: Aws, options: Options) -> int:
    """What the stack's functions have reserved already: a deploy over it doesn't need that twice."""
    client, pages = aws.lambda_(), aws.cloudformation().get_paginator("list_stack_resources")
    try:
        found = [
            one for page in pages.paginate(StackName=options.stack) for one in page["StackResourceSummaries"]
        ]
    except ClientError as error:
        if code(error) != "ValidationError":
            raise
        return 0  # the usual case: no such stack
    there = [one for one in found if one["ResourceStatus"] not in ("CREATE_FAILED", "DELETE_COMPLETE")]
    names = [one["PhysicalResourceId"] for one in there if one["ResourceType"] == "AWS::Lambda::Function"]
    return sum(
        client.get_function_concurrency(FunctionName=name).get("ReservedConcurrentExecutions", 0)
        for name in names
    )


def bandwidth(aws: Aws, *, streamed: bool = False) -> Finding:
    """Whether more bandwidth has been granted. It never blocks: the weights come with the image, or, where
    they are `streamed`, more slowly."""
    quota = _bandwidth_quota(aws)
    if quota and quota["Value"] >= BANDWIDTH_MBPS:
        return ok(NETWORK, f"{quota['Value']:,.0f} Mbps at full memory")
    has = f"{quota['Value']:,.0f} Mbps" if quota else "not raised (this region doesn't list it yet)"
    by_command = f"; or: {REQUEST} {quota['QuotaCode']} --desired-value {BANDWIDTH_MBPS}" if quota else ""
    more = (
        f"for more, at no charge: {CONSOLE} → {BANDWIDTH} → Request increase, to {BANDWIDTH_MBPS}{by_command}"
    )
    if streamed:
        return todo(NETWORK, f"{has}; the weights come over the network, at every cold start", more)
    return ok(NETWORK, f"{has}; no need: the weights come with the image, not over the network", more)


def _bandwidth_quota(aws: Aws) -> "ServiceQuotaTypeDef | None":
    for page in aws.quotas().get_paginator("list_service_quotas").paginate(ServiceCode="lambda"):
        for quota in page["Quotas"]:
            if BANDWIDTH.lower() in quota["QuotaName"].lower():
                return quota
    return None
