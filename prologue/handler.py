"""The light function's Lambda handler: WebSocket events, tickets, failed invocations of the models."""

# ruff: noqa: E402
import gc
import os

# A cold start waits for all that is imported here. It stays, so no garbage is looked for in it; and pydantic
# need not look through everything that is installed for plugins.
gc.disable()
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

import json
import logging
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, Json, PositiveInt

from prologue.compiled import titles
from prologue.invoking import ModelFunctions
from prologue.service import PrologueService
from session import telemetry
from session.errors import Refusal
from session.events import WorldView
from session.runner import Runner, UnknownSession
from session.settings import Clients, Settings

if TYPE_CHECKING:
    from prologue.faq.match import Matcher

gc.freeze()
gc.enable()

log = logging.getLogger(__name__)
OK = {"statusCode": 200}
FAILED = "The model function failed; the house's log says why."  # no listener can mend what it is


class LightSettings(Settings):
    models: Json[Annotated[dict[str, str], Field(min_length=1)]]  # functions by model, the default first
    worlds: str = "emerald-city"  # comma-separated names; the first is the default
    faq_dir: Path
    aws_lambda_function_memory_size: PositiveInt = 1024  # Lambda sets it
    model_memory_mb: PositiveInt = 10_240  # of the model functions

    def offer(self) -> tuple[WorldView, ...]:
        """Every world in every language, as it is told to listeners. Raises WorldError."""
        return tuple(
            WorldView(name=name, language=language, title=title)
            for name in self.worlds.split(",")
            for language, title in titles(self.worlds_dir / name).items()
        )


@telemetry.traced("event")
def lambda_handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Takes an API Gateway WebSocket event, its question to the authorizer (type `REQUEST`), a request to the
    function's URL (`POST /ticket`), or an SQS batch of on-failure records."""
    if "Records" in event:
        for record in event["Records"]:
            telemetry.begin(context)
            _failure(json.loads(record["body"]))
        return OK
    request = event["requestContext"]
    telemetry.begin(context, connection_id=request.get("connectionId"))
    if event.get("type") == "REQUEST" or "http" in request:
        from prologue.tickets.environment import door, office  # no frame ever needs them

        return office().answer(event) if "http" in request else door().policy(event)
    connection_id = request["connectionId"]
    match request["eventType"]:
        case "MESSAGE":
            admitted = request.get("authorizer") or {}
            _service().message(
                connection_id,
                event.get("body") or "",
                address=admitted.get("address") or request.get("identity", {}).get("sourceIp") or "",
                subject=_subject(request),
                ticket=admitted.get("ticket", ""),
            )
        case "DISCONNECT":
            _service().disconnected(connection_id)
        case "CONNECT":
            return _welcome(event)
    return OK


def _subject(request: dict[str, Any]) -> str | None:
    """Who sends a frame: whom its ticket was given to, or (iam) who signed the connection's request."""
    subject: str | None = (request.get("authorizer") or {}).get("subject")
    return subject or request.get("identity", {}).get("userArn") or None


def _welcome(event: dict[str, Any]) -> dict[str, Any]:
    """Nothing can be posted yet: the client speaks first. Tickets were looked at by the authorizer."""
    if os.environ.get("AUTH_MODE") == "iam":
        from prologue.tickets.environment import from_foreign_page

        if from_foreign_page(event):
            log.warning("a page of another origin was turned away")
            return {"statusCode": 403}
    return OK


def _failure(record: dict[str, Any]) -> None:
    """One destination record: says which session waits in vain, and why."""
    payload = record["requestPayload"]
    condition = record["requestContext"]["condition"]
    cause = (record.get("responsePayload") or {}).get("errorMessage", "")
    log.warning("the invocation for session %s ended as %s: %s", payload["session_id"], condition, cause)
    again = condition == "EventAgeExceeded"
    message = "All places are taken just now; try again in a minute." if again else FAILED
    try:
        _service().invoke_failed(payload["session_id"], payload["epoch"], message, again)
    except (UnknownSession, Refusal):
        log.info("session %s ended before its failure was known", payload["session_id"])


@cache
def _service() -> PrologueService:
    settings = LightSettings.from_environment()
    clients = Clients(settings)
    world = settings.world_loader()

    @cache
    def matcher(name: str, language: str) -> "Matcher | None":
        from prologue.faq.embedder import NotBuiltError
        from prologue.faq.match import Matcher

        try:
            return Matcher.load(settings.faq_dir, world(name, language))
        except NotBuiltError:
            log.exception("the FAQ is out of order; the story goes on without it")
            return None

    runner = Runner(
        store=clients.store,
        poster=clients.poster,
        worlds=world,
        clock=time.time,
        models=tuple(settings.models),
        offer=settings.offer(),
        environments=settings.capacity,
        caps=settings.caps(),
        invoke=ModelFunctions(settings.models).invoke,
    )
    return PrologueService(
        runner,
        matcher=matcher,
        memory_mb=settings.aws_lambda_function_memory_size,
        model_memory_mb=settings.model_memory_mb,
    )
