"""The light function's handler: who sent a frame, what it is told by its environment, what Lambda refused."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from pydantic import ValidationError

from prologue import handler
from prologue.handler import LightSettings, lambda_handler
from prologue.invoking import ModelFunctions
from session.runner import InvokeRefused, UnknownSession
from tests.lobby import Lobby

HERE = {
    "TABLE_NAME": "t",
    "CALLBACK_URL": "http://localhost:1/prod",
    "FAQ_DIR": "faq",
    "MODELS": '{"small": "curtain-small", "large": "curtain-large"}',
    "WORLDS": "emerald-city",
    "CAPACITY": "3",
}


class Called:
    """A service that remembers what it was called with."""

    def __init__(self, gone: bool = False) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.gone = gone

    def message(self, *args: Any, **named: Any) -> None:
        self.calls.append((*args, named))

    def disconnected(self, *args: Any) -> None:
        self.calls.append(args)

    def invoke_failed(self, *args: Any) -> None:
        if self.gone:
            raise UnknownSession("s")
        self.calls.append(args)


def called(monkeypatch: pytest.MonkeyPatch, event: dict[str, Any], gone: bool = False) -> list[Any]:
    service = Called(gone)
    monkeypatch.setattr(handler, "_service", lambda: service)
    assert lambda_handler(event, SimpleNamespace()) == {"statusCode": 200}
    return service.calls


def test_a_frame_comes_with_its_address_and_its_subject(monkeypatch: pytest.MonkeyPatch) -> None:
    context: dict[str, Any] = {"eventType": "MESSAGE", "connectionId": "c"}
    context |= {"identity": {"sourceIp": "192.0.2.1"}, "authorizer": {"subject": "ada"}}
    found = called(monkeypatch, {"requestContext": context, "body": "{}"})
    assert found == [("c", "{}", {"address": "192.0.2.1", "subject": "ada", "ticket": ""})]


def test_a_ticket_tells_of_the_address_it_was_given_to(monkeypatch: pytest.MonkeyPatch) -> None:
    context: dict[str, Any] = {"eventType": "MESSAGE", "connectionId": "c"}
    context |= {"identity": {"sourceIp": "192.0.2.1"}, "authorizer": {"ticket": "t1", "address": "5ca1ab1e"}}
    found = called(monkeypatch, {"requestContext": context, "body": "{}"})
    assert found == [("c", "{}", {"address": "5ca1ab1e", "subject": None, "ticket": "t1"})]


def test_neither_has_to_be_known(monkeypatch: pytest.MonkeyPatch) -> None:
    context = {"eventType": "MESSAGE", "connectionId": "c"}
    assert called(monkeypatch, {"requestContext": context}) == [
        ("c", "", {"address": "", "subject": None, "ticket": ""})
    ]


def test_connections_come_and_go(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind, calls in (("CONNECT", []), ("DISCONNECT", [("c",)])):
        event = {"requestContext": {"eventType": kind, "connectionId": "c"}}
        assert called(monkeypatch, event) == calls


def failure(condition: str, cause: str | None = None) -> dict[str, Any]:
    record = {
        "requestContext": {"condition": condition},
        "requestPayload": {"kind": "serve", "session_id": "s", "epoch": 4},
        "responsePayload": {"errorMessage": cause} if cause else None,
    }
    return {"Records": [{"body": json.dumps(record)}]}


def test_an_event_that_grew_too_old_may_be_sent_again_and_a_failed_one_may_not(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert called(monkeypatch, failure("EventAgeExceeded")) == [
        ("s", 4, "All places are taken just now; try again in a minute.", True)
    ]
    ((session_id, epoch, message, again),) = called(monkeypatch, failure("RetriesExhausted", "MemoryError"))
    assert (session_id, epoch, again) == ("s", 4, False)
    assert "failed" in message
    assert "MemoryError" not in message
    assert "MemoryError" in caplog.text
    assert called(monkeypatch, failure("RetriesExhausted"), gone=True) == []


def test_the_settings_say_which_models_and_worlds_there_are(tmp_path: Path) -> None:
    settings = LightSettings.from_environment(HERE)
    assert list(settings.models) == ["small", "large"]
    assert settings.capacity == 3
    offer = settings.offer()
    assert {view.name for view in offer} == {"emerald-city"}
    assert (offer[0].language, bool(offer[0].title)) == ("en", True)
    assert settings.world_loader()("emerald-city", "en").name == "emerald-city"


@pytest.mark.parametrize(
    ("name", "value"), [("MODELS", "{}"), ("MODELS", "small"), ("CAPACITY", "0"), ("CALLBACK_URL", "wss://x")]
)
def test_a_wrong_setting_is_named(name: str, value: str) -> None:
    with pytest.raises(ValidationError, match=name.lower()):
        LightSettings.from_environment(HERE | {name: value})


def refused(code: str, status: int = 400) -> ClientError:
    response: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, "Invoke")


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (refused("TooManyRequestsException", 429), True),
        (refused("ResourceNotReadyException", 502), True),
        (refused("CodeArtifactUserPendingException", 409), True),
        (refused("ResourceConflictException", 409), True),
        (refused("ServiceException", 500), True),
        (refused("ThrottlingException"), True),
        (ReadTimeoutError(endpoint_url="https://lambda"), True),
        (refused("ResourceNotFoundException", 404), False),
        (refused("AccessDeniedException", 403), False),
        (refused("KMSAccessDeniedException", 502), True),
    ],
    ids=str,
)
def test_what_lambda_refuses_now_it_may_take_later(
    error: Exception, again: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def invoke(**_: object) -> None:
        raise error

    lobby = Lobby()
    lobby.hello()
    functions = ModelFunctions({"demo": "curtain-demo"})
    monkeypatch.setattr(ModelFunctions, "_client", SimpleNamespace(invoke=invoke))
    with pytest.raises(InvokeRefused) as caught:
        functions.invoke(lobby.session(), 1)
    assert caught.value.again == again
    assert str(error) not in str(caught.value)  # that is the log's, by way of the cause
    assert caught.value.__cause__ is error


def test_each_model_has_its_function(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(ModelFunctions, "_client", SimpleNamespace(invoke=lambda **call: sent.append(call)))
    lobby = Lobby()
    ready = lobby.hello(model="large")
    ModelFunctions({"demo": "curtain-demo", "large": "curtain-large"}).invoke(lobby.session(), 3)
    assert (sent[0]["FunctionName"], sent[0]["InvocationType"]) == ("curtain-large", "Event")
    assert json.loads(sent[0]["Payload"]) == {"kind": "serve", "session_id": ready.session_id, "epoch": 3}
    with pytest.raises(InvokeRefused, match="'large' is not played here"):
        ModelFunctions({"demo": "curtain-demo"}).invoke(lobby.session(), 3)
