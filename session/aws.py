"""Clients of AWS, made by botocore alone: all else in boto3 is of no use here, and a cold start pays for it.

botocore itself reads where AWS is: region, credentials and, on the local stage, `AWS_ENDPOINT_URL_*`.
"""

from functools import cache
from typing import Any

from botocore.config import Config
from botocore.session import Session

CLIENT = Config(
    connect_timeout=3,
    read_timeout=10,
    tcp_keepalive=True,
    retries={"mode": "standard", "total_max_attempts": 4},
)
# Posting has its own patience: botocore would try a refused delta again for seconds, and past a stop.
POSTING = CLIENT.merge(Config(retries={"mode": "standard", "total_max_attempts": 1}))


@cache
def session() -> Session:
    """The process's, so that what clients have in common is read once."""
    return Session()


def client(service: str, *, config: Config = CLIENT, endpoint_url: str | None = None) -> Any:
    """A client of that service. Whoever asks knows its type, one of `mypy_boto3_*`."""
    return session().create_client(service, config=config, endpoint_url=endpoint_url)
