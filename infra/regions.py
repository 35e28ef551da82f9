"""Where the stack can live: regions that have all of its services, as botocore's own data lists them."""

import boto3

SERVICES = ("lambda", "apigatewayv2", "dynamodb", "ecr", "sqs", "secretsmanager", "logs")


def check_region(region: str) -> str:
    """The region. ValueError if there is none of this name, or one that lacks a service."""
    session = boto3.session.Session()
    known = set(session.get_available_regions(SERVICES[0]))
    if region not in known:
        raise ValueError(f"no region where Lambda is; known: {', '.join(sorted(known))}")
    if lacking := [name for name in SERVICES if region not in session.get_available_regions(name)]:
        raise ValueError(f"this region has no {' and no '.join(lacking)}; take another")
    return region
