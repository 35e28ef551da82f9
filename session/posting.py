"""Posting frames to WebSocket connections through API Gateway's `@connections`."""

import time
from typing import TYPE_CHECKING, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from session.events import Frame

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
    """Waits and tries again when the gateway says 429. A caller's posts keep their order."""

    def __init__(self, client: "ApiGatewayManagementApiClient") -> None:
        self._client = client

    def post(self, connection_id: str, frame: Frame) -> None:
        wait = _FIRST_WAIT_S
        for attempt in range(1, _TRIES + 1):
            try:
                self._client.post_to_connection(ConnectionId=connection_id, Data=frame.wire())
                return
            except ClientError as error:
                code = str(error.response.get("Error", {}).get("Code", ""))
                if code in ("GoneException", "410", "BadRequestException"):
                    raise Gone(connection_id) from None
                if code != "LimitExceededException" or attempt == _TRIES:
                    raise NotPosted(str(error)) from error
            except BotoCoreError as error:  # no answer, or no connection
                raise NotPosted(str(error)) from error
            time.sleep(wait)
            wait *= 2
