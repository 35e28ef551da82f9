"""Asks Lambda for the model function, and says which refusals are worth another try."""

import json
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from session import aws
from session.record import Session
from session.runner import InvokeRefused

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

# Lambda is busy, or makes the function ready: after weeks of rest, an update, or in its first minutes.
_PASSING = (
    "CodeArtifactUserPendingException",
    "EC2ThrottledException",
    "ENILimitReachedException",
    "ResourceConflictException",
    "ResourceNotReadyException",
    "ServiceException",
    "ThrottlingException",
    "TooManyRequestsException",
)
REFUSED = "The model could not be called; the house's log says why."  # a listener can do nothing about it


class ModelFunctions:
    """Args:
    functions: name or ARN of each model's function, by the model's name.
    """

    def __init__(self, functions: Mapping[str, str]) -> None:
        self._functions = functions

    @cached_property
    def _client(self) -> "LambdaClient":
        client: LambdaClient = aws.client("lambda")
        return client

    def invoke(self, session: Session, epoch: int) -> None:
        """Asynchronously, for this epoch of the session's seat. Raises InvokeRefused."""
        event = {"kind": "serve", "session_id": session.session_id, "epoch": epoch}
        try:
            self._client.invoke(
                FunctionName=self._functions[session.model_name],
                InvocationType="Event",
                Payload=json.dumps(event).encode(),
            )
        except KeyError:
            raise InvokeRefused(f"The model {session.model_name!r} is not played here any more.") from None
        except ClientError as error:
            raise InvokeRefused(REFUSED, _passes(error.response)) from error
        except BotoCoreError as error:  # no connection, or no answer in time
            raise InvokeRefused(REFUSED, again=True) from error


def _passes(response: Mapping[str, Any]) -> bool:
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    return response.get("Error", {}).get("Code") in _PASSING or status in (429, 500, 502, 503, 504)
