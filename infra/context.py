"""Reads the options: context keys that begin with `curtain:`, in cdk.json or on the command line.

    cdk deploy -c curtain:models=demo -c curtain:auth=open

The command line only has text: lists are written with commas there, objects as JSON.
"""

import json
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError

from infra.options import Options

PREFIX = "curtain:"

# What pydantic says of the branches of a union that were not meant.
_BRANCHES = {
    dict: {"literal_error", "int_type"},
    str: {"dict_type", "model_type", "model_attributes_type"},
    int: {"dict_type", "model_type", "model_attributes_type"},
}

# What else would do, where the message only knows one branch.
_ALSO = {
    "vpc": ', "none" or {"id": "vpc-…", "subnets": ["subnet-…"]}',
    "memory_mb": ', or {"MODEL": a number}',
}


class OptionsError(Exception):
    """Options that can't be used: a line for each, which names it, what was given and what would do."""


def read_options(context: Mapping[str, Any]) -> Options:
    """Raises OptionsError with every mistake."""
    given = {key.removeprefix(PREFIX): value for key, value in context.items() if key.startswith(PREFIX)}
    try:
        return Options.model_validate({name: _from_text(name, value) for name, value in given.items()})
    except ValidationError as error:
        raise OptionsError("\n".join(dict.fromkeys(_explained(error)))) from None


def _from_text(name: str, value: Any) -> Any:
    """What the command line's text stands for; anything else is left as it is."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text[:1] in ("{", "["):
        try:
            return json.loads(text)
        except ValueError as error:
            raise OptionsError(f"{PREFIX}{name}: this is no JSON ({error}); given: {text}") from None
    field = Options.model_fields.get(name)
    if field is not None and isinstance(field.get_default(), tuple):
        return [part.strip() for part in text.split(",") if part.strip()]
    if text in ("", "none") and field is not None and field.default is None:
        return None
    return int(text) if text.isdecimal() else text


def _explained(error: ValidationError) -> Iterator[str]:
    for problem in error.errors():
        where = ".".join(str(part) for part in problem["loc"] if not _is_branch(part))
        message, given = problem["msg"].removeprefix("Value error, "), problem["input"]
        if problem["type"] == "extra_forbidden":
            near = get_close_matches(where, Options.model_fields, n=1)
            hint = f"; did you mean {PREFIX}{near[0]}?" if near else ""
            yield f"{PREFIX}{where}: no such option{hint} (docs/deploy.md lists them); given: {given!r}"
        elif not where:  # of several options together: the message names them
            yield PREFIX + message
        elif problem["type"] not in _BRANCHES.get(type(given), ()) or len(problem["loc"]) == 1:
            also = _ALSO.get(where, "")
            yield f"{PREFIX}{where}: {message[0].lower()}{message[1:]}{also}; given: {given!r}"


def _is_branch(part: int | str) -> bool:
    """A part of pydantic's location that is a type of a union and no name of ours."""
    return isinstance(part, str) and (part in {"Vpc", "int", "constrained-int"} or "[" in part)
