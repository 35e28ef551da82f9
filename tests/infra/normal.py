"""A template as text that can be compared: without what changes with every file of the repository."""

import json
import re
from typing import Any

import yaml

from tests.infra.synth import Synth

ASSET = re.compile(r"\b[0-9a-f]{64}(\.zip)?")
HASHED = re.compile(r"(CurrentVersion)[0-9A-F]+[0-9a-f]+")  # a version's logical id


def normal(made: Synth) -> str:
    """YAML; each asset's hash replaced by what it is the hash of."""
    images = {digest: f"<image of {how['dockerBuildTarget']}>" for digest, how in made.images().items()}

    def named(found: re.Match[str]) -> str:
        return images.get(found.group(), "<files>")

    text = HASHED.sub(r"\1", ASSET.sub(named, json.dumps(made.template)))
    return yaml.safe_dump(json.loads(text), sort_keys=True, width=110, allow_unicode=True)


def permissions(made: Synth) -> str:
    """What each role may do, one action and resource to a line."""
    lines = set()
    held = [
        (role["Ref"], policy["Properties"])
        for policy in made.of_type("IAM::Policy").values()
        for role in policy["Properties"]["Roles"]
    ]
    for name, role in made.of_type("IAM::Role").items():
        held += [(name, policy) for policy in role["Properties"].get("Policies", [])]
        for managed in role["Properties"].get("ManagedPolicyArns", []):
            lines.add(f"{_short(name)}: {_plain(managed)}")
    for role, policy in held:
        for statement in policy["PolicyDocument"]["Statement"]:
            assert statement["Effect"] == "Allow"
            assert not {"NotAction", "NotResource", "Condition"} & statement.keys()
            lines |= {
                f"{_short(role)}: {action} on {_plain(resource)}"
                for action in _each(statement["Action"])
                for resource in _each(statement["Resource"])
            }
    return "".join(f"{line}\n" for line in sorted(lines))


def _each(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _short(logical_id: str) -> str:
    """Without the hash that CDK puts after a name."""
    return re.sub(r"[0-9A-F]{8}$", "", logical_id)


def _plain(value: Any) -> str:
    match value:
        case str(text):
            return re.sub(r"\$\{AWS::(\w+)\}", r"{\1}", text)
        case {"Ref": str(name)}:
            return f"{{{_short(name).removeprefix('AWS::')}}}"
        case {"Fn::GetAtt": [str(name), _]}:
            return f"{{{_short(name)}}}"
        case {"Fn::Sub": text}:
            return _plain(text)
        case {"Fn::Join": [str(between), list(parts)]}:
            return between.join(map(_plain, parts))
    raise ValueError(f"a resource that this test doesn't read: {value!r}")
