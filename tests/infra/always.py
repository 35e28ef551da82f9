"""What must hold in every deployment is said where the rest of the same matter is: `@always` gathers it."""

from collections.abc import Callable
from typing import Any

from tests.infra.synth import Resource, Synth

Check = Callable[[Synth], None]
CHECKS: list[Check] = []


def always(check: Check) -> Check:
    CHECKS.append(check)
    return check


def joined(function: Resource, variable: str) -> list[Any]:
    parts: list[Any] = function["Environment"]["Variables"][variable]["Fn::Join"][1]
    return parts


def statements(made: Synth) -> list[Resource]:
    """Of every role's policies, those within the role too."""
    policies = [policy["Properties"] for policy in made.of_type("IAM::Policy").values()]
    for role in made.of_type("IAM::Role").values():
        policies += role["Properties"].get("Policies", [])
    return [each for policy in policies for each in policy["PolicyDocument"]["Statement"]]
