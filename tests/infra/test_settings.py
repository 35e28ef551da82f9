"""The functions understand the environment that the stack gives them, and nothing of it is for nobody."""

import json
import shlex
from typing import Any

import pytest

from lambda_image.service import ModelSettings
from prologue.handler import LightSettings
from prologue.tickets.settings import TicketSettings
from session.settings import Settings
from tests.infra.combinations import ISSUER
from tests.infra.synth import Resource, synth
from tools.stack import find

IMAGE = {"FAQ_DIR": "/opt/faq"}  # what the Dockerfile sets
SEEN = {"POWERTOOLS_SERVICE_NAME", "POWERTOOLS_METRICS_NAMESPACE", "POWERTOOLS_LOG_LEVEL"}
MODES: list[dict[str, Any]] = [
    {"auth": "access-code"},
    {"auth": "jwt", "jwt": ISSUER},
    {"auth": "jwt", "jwt": ISSUER | {"audience": "a,b", "jwks_url": "https://keys.example.org/jwks.json"}},
    {"auth": "iam"},
    {"auth": "open", "allowed_origins": ["https://a.example.org", "https://b.example.org:8443"]},
]


@pytest.mark.parametrize("options", MODES, ids=lambda options: options["auth"])
def test_the_light_function_understands_its_environment(options: dict[str, Any]) -> None:
    made = synth(**options)
    environment = _environment(made.light())
    settings = LightSettings.from_environment(environment | IMAGE)
    assert list(settings.models) == ["demo"]
    assert settings.capacity == made.options.slots
    assert next(world.name for world in settings.offer()) == made.options.worlds[0]
    assert settings.model_memory_mb == made.options.memory_of("demo")
    assert settings.callback_url.startswith("https://")
    tickets = TicketSettings.from_environment(environment)
    assert tickets.auth_mode == options["auth"]
    assert list(tickets.allowed_origins) == options.get("allowed_origins", [])
    assert bool(tickets.secret_arn) == (options["auth"] != "iam")
    issuer = options.get("jwt", {})
    assert tickets.jwt_issuer == issuer.get("issuer", "")
    assert ",".join(tickets.jwt_audience) == issuer.get("audience", "")
    assert tickets.jwt_jwks_url == issuer.get("jwks_url", "")
    _caps(settings)
    known = {name.upper() for kind in (LightSettings, TicketSettings) for name in kind.model_fields}
    assert environment.keys() - known == SEEN


def test_the_first_model_and_world_are_what_listeners_get() -> None:
    made = synth(models=["smollm2-135m", "demo"], worlds=["hollow-skerry", "emerald-city"])
    settings = LightSettings.from_environment(_environment(made.light()) | IMAGE)
    assert list(settings.models) == ["smollm2-135m", "demo"]
    assert settings.worlds == "hollow-skerry,emerald-city"
    assert settings.model_memory_mb == made.options.memory_of("smollm2-135m")


def test_the_model_function_understands_its_environment() -> None:
    (function,) = synth().models()
    environment = _environment(function)
    settings = ModelSettings.from_environment(environment)
    assert settings.model_name == "demo"
    _caps(settings)
    assert environment.keys() - {name.upper() for name in ModelSettings.model_fields} == SEEN


def test_the_command_that_prints_the_code_finds_the_stack_in_its_region() -> None:
    printed = _filled(synth().template["Outputs"]["AccessCode"]["Value"])
    command = shlex.split(printed.replace("AWS::Region", "eu-west-1"))
    assert command[:3] == [".venv/bin/python", "-m", "tools.code"]
    assert command[3::2] == ["-c", "-c"]
    found = find(command[4::2])
    assert (found.name, found.region) == ("Curtain", "eu-west-1")


def _caps(settings: Settings) -> None:
    spent = (
        settings.model_seconds_per_day,
        settings.model_seconds_per_day_ticket,
        settings.model_seconds_per_day_address,
    )
    assert spent == (7200, 1800, 3600)


def _environment(function: Resource) -> dict[str, str]:
    """As Lambda would set it: what CloudFormation fills in later is a word here."""
    return {name: _filled(value) for name, value in function["Environment"]["Variables"].items()}


def _filled(value: Any) -> str:
    match value:
        case str(text):
            return text
        case {"Fn::Join": ["", list(parts)]}:
            return "".join(map(_filled, parts))
        case {"Ref": str(name)} | {"Fn::GetAtt": [str(name), _]}:
            return name
    raise ValueError(f"a value that this test doesn't read: {json.dumps(value)}")
