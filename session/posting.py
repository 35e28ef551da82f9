"""Posting frames to WebSocket connections through API Gateway's `@connections`."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from session import telemetry
from session.events import Frame, TurnDelta

if TYPE_CHECKING:
    from mypy_boto3_apigatewaymanagementapi import ApiGatewayManagementApiClient

_TRIES = 5
_FIRST_WAIT_S = 0.05


class Gone(Exception):
    """The connection does not exist (any more)."""


class NotPosted(Exception):
    """The gateway did not take a frame, though the connection may live."""


class Poster(Protocol):
    def post(self, connection_id: str, frame: Frame) -> None:
        """Posts one frame. Raises Gone, NotPosted. A post that returns proves nothing about the listener."""
        ...


class GatewayPoster:
    """Waits and tries again when the gateway is too busy. A caller's posts keep their order.

    A delta is tried once: whoever gathers text sends it again with more of it, and by then the turn may have
    been stopped.
    """

    def __init__(
        self, client: "ApiGatewayManagementApiClient", sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._client = client
        self._sleep = sleep

    def post(self, connection_id: str, frame: Frame) -> None:
        wait = _FIRST_WAIT_S
        tries = 1 if isinstance(frame, TurnDelta) else _TRIES
        for attempt in range(1, tries + 1):
            try:
                self._client.post_to_connection(ConnectionId=connection_id, Data=frame.wire())
                return
            except ClientError as error:
                code = str(error.response.get("Error", {}).get("Code", ""))
                status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
                if status == 410 or code in ("GoneException", "410", "BadRequestException"):
                    raise Gone(connection_id) from None
                if status == 429:
                    telemetry.emit({"Throttles": 1})
                busy = status in (429, 500, 502, 503, 504) or code == "LimitExceededException"
                if not busy or attempt == tries:
                    raise NotPosted(str(error)) from error
            except BotoCoreError as error:  # no answer, or no connection
                if attempt == tries:
                    raise NotPosted(str(error)) from error
            self._sleep(wait)
            wait *= 2
