"""The light function's Lambda handler: WebSocket events, and failed invocations of the model function."""

import json
import logging
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from prologue.service import PrologueService
from prologue.world import load_world
from session.record import Session
from session.runner import InvokeRefused, Runner, UnknownSession
from session.settings import CLIENT, Clients, Settings

if TYPE_CHECKING:
    from prologue.faq.match import Matcher
    from prologue.world import World

log = logging.getLogger(__name__)
OK = {"statusCode": 200}


class LightSettings(Settings):
    model_function: str  # name or ARN that is invoked
    worlds: str = "emerald-city"  # comma-separated names; the first is the default
    faq_dir: Path


def lambda_handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Takes an API Gateway WebSocket event, or an SQS batch of on-failure records."""
    if "Records" in event:
        for record in event["Records"]:
            _failure(json.loads(record["body"]))
        return OK
    request = event["requestContext"]
    connection_id = request["connectionId"]
    match request["eventType"]:
        case "MESSAGE":
            _service().message(connection_id, event.get("body") or "")
        case "DISCONNECT":
            _service().disconnected(connection_id)
        case "CONNECT":
            pass  # nothing can be posted yet: the client speaks first
    return OK


def _failure(record: dict[str, Any]) -> None:
    """One destination record: says which session waits in vain, and why."""
    payload = record["requestPayload"]
    condition = record["requestContext"]["condition"]
    cause = (record.get("responsePayload") or {}).get("errorMessage", "")
    message = {
        "EventAgeExceeded": "All places are taken just now; try again in a minute.",
        "RetriesExhausted": f"The model function failed. {cause}".strip(),
    }.get(condition, condition)
    try:
        _service().invoke_failed(payload["session_id"], payload["epoch"], message)
    except UnknownSession:
        log.info("session %s ended before its failure was known", payload["session_id"])


@cache
def _service() -> PrologueService:
    settings = LightSettings.from_environment()
    clients = Clients(settings)
    lambda_client = boto3.client("lambda", config=CLIENT)

    def invoke(session: Session, epoch: int) -> None:
        event = {"kind": "serve", "session_id": session.session_id, "epoch": epoch}
        try:
            lambda_client.invoke(
                FunctionName=settings.model_function,
                InvocationType="Event",
                Payload=json.dumps(event).encode(),
            )
        except (ClientError, BotoCoreError) as error:
            raise InvokeRefused(str(error)) from error

    @cache
    def world(name: str) -> "World":
        return load_world(settings.worlds_dir / name)

    @cache
    def matcher(name: str) -> "Matcher | None":
        from prologue.faq.embedder import NotBuiltError
        from prologue.faq.match import Matcher

        try:
            return Matcher.load(settings.faq_dir, world(name))
        except NotBuiltError:
            log.exception("the FAQ is out of order; the story goes on without it")
            return None

    return PrologueService(
        Runner(
            store=clients.store,
            poster=clients.poster,
            worlds=world,
            clock=time.time,
            invoke=invoke,
        ),
        worlds=tuple(settings.worlds.split(",")),
        model_name=settings.model_name,
        matcher=matcher,
    )
