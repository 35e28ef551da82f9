"""Posting through API Gateway: what is tried again, and what its answers mean."""

from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError

from session.events import Frame, Pong, TurnDelta
from session.posting import GatewayPoster, Gone, NotPosted

DELTA = TurnDelta(turn_id="t", version=1, offset=0, text="Once")


def answer(status: int, code: str = "") -> ClientError:
    response: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, "PostToConnection")


class Gateway:
    """Gives these answers in turn, then takes everything."""

    def __init__(self, *answers: Exception) -> None:
        self.answers = list(answers)
        self.taken: list[bytes] = []
        self.waits: list[float] = []
        client: Any = SimpleNamespace(post_to_connection=self.take)
        self.poster = GatewayPoster(client, sleep=self.waits.append)

    def take(self, *, ConnectionId: str, Data: bytes) -> None:  # noqa: N803 - boto3's names
        if self.answers:
            raise self.answers.pop(0)
        self.taken.append(Data)

    def post(self, frame: Frame) -> None:
        self.poster.post("c", frame)


BUSY = [
    answer(429, "LimitExceededException"),
    answer(500, "InternalServerError"),
    ConnectTimeoutError(endpoint_url="https://gateway"),
]


@pytest.mark.parametrize("busy", BUSY, ids=str)
def test_a_busy_gateway_is_asked_again_and_each_time_later(busy: Exception) -> None:
    gateway = Gateway(busy, busy, busy)
    gateway.post(Pong(seq=3))
    assert gateway.taken == [b'{"type":"pong","seq":3}']
    assert gateway.waits == [0.05, 0.1, 0.2]


@pytest.mark.parametrize("busy", BUSY, ids=str)
def test_a_delta_is_left_to_whoever_gathers_text(busy: Exception) -> None:
    gateway = Gateway(busy)
    with pytest.raises(NotPosted):
        gateway.post(DELTA)
    assert gateway.waits == []


def test_patience_ends() -> None:
    gateway = Gateway(*[BUSY[0]] * 9)
    with pytest.raises(NotPosted):
        gateway.post(Pong())
    assert len(gateway.answers) == 4


@pytest.mark.parametrize(
    "gone", [answer(410, "GoneException"), answer(410, "410"), answer(400, "BadRequestException")]
)
def test_a_connection_that_is_gone_is_gone(gone: ClientError) -> None:
    gateway = Gateway(gone)
    with pytest.raises(Gone):
        gateway.post(DELTA)


def test_what_is_forbidden_stays_forbidden() -> None:
    gateway = Gateway(answer(403, "ForbiddenException"))
    with pytest.raises(NotPosted):
        gateway.post(Pong())
    assert gateway.waits == []
