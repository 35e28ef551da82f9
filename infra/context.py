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
DIGITS = 20  # of a number; what has more is none that an option takes
LONG = 300  # characters of what was given are shown

# Options that take text or a number, or else an object: the one branch of pydantic's union, and the other.
_UNIONS = ("vpc", "memory_mb")
_OBJECTS = ("Vpc", "dict[")

# What would do, or would do too, where pydantic's message doesn't say it.
_ALSO = {
    "vpc": ', "none" or {"id": "vpc-…", "subnets": ["subnet-…"]}',
    "memory_mb": ', or {"MODEL": a number}',
    "provisioned_hours": ': [{"start": "19:30", "end": "23:00"}], or leave it out, which is always',
    "jwt": ': {"issuer": "https://…", "audience": "…"}',
    "domain": ': {"name": "…", "certificate_arn": "arn:aws:acm:us-east-1:…"}',
    "build_args": ': {"BASE": "…"}',
}


class OptionsError(Exception):
    """Options that can't be used: a line for each, which names it, what was given and what would do."""


def read_options(context: Mapping[str, Any]) -> Options:
    """Raises OptionsError with every mistake."""
    given = {key.removeprefix(PREFIX): value for key, value in context.items() if key.startswith(PREFIX)}
    read = {name: _from_text(name, value) for name, value in given.items()}
    try:
        return Options.model_validate(read)
    except ValidationError as error:
        raise OptionsError("\n".join(dict.fromkeys(_explained(error, read)))) from None


def _from_text(name: str, value: Any) -> Any:
    """What the command line's text stands for; anything else is left as it is."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text[:1] in ("{", "["):
        try:
            return json.loads(text)
        except ValueError as error:
            raise OptionsError(
                f"{PREFIX}{name}: this is no JSON ({error}); given: {text!r:.{LONG}}"
            ) from None
    field = Options.model_fields.get(name)
    if field is not None and text in ("", "none") and field.default in (None, (), {}):
        return field.default
    if field is not None and isinstance(field.default, tuple):
        return [part.strip() for part in text.split(",") if part.strip()]
    return int(text) if text.isdecimal() and len(text) < DIGITS else text


def _explained(error: ValidationError, given: Mapping[str, Any]) -> Iterator[str]:
    problems = [problem for problem in error.errors() if _meant(problem["loc"], given)]
    places = [problem["loc"] for problem in problems]
    for problem in problems:
        kind, place, value = problem["type"], problem["loc"], problem["input"]
        where, shown = ".".join(_named(place)), f"given: {value!r:.{LONG}}"
        message = problem["msg"].removeprefix("Value error, ")
        if kind == "too_short" and any(one[:-1] == place for one in places):
            continue  # what was in it is wrong, and told
        if kind == "extra_forbidden":
            near = get_close_matches(where, Options.model_fields, n=1)
            hint = f"; did you mean {PREFIX}{near[0]}?" if near else ""
            yield f"{PREFIX}{where}: no such option{hint} (docs/deploy.md lists them); {shown}"
        elif not where:  # of several options together: the message names them
            yield PREFIX + message
        else:
            if kind in ("model_type", "dict_type"):
                message = "input should be an object"
            elif kind in ("tuple_type", "too_short"):
                message = message.lower().replace("tuple", "list")
            also = "" if kind == "value_error" else _ALSO.get(where.removesuffix(".0"), "")
            yield f"{PREFIX}{where}: {message[0].lower()}{message[1:]}{also}; {shown}"


def _meant(place: tuple[int | str, ...], given: Mapping[str, Any]) -> bool:
    """Whether this is about the branch of a union whose kind the given value is of."""
    if len(place) < 2 or place[0] not in _UNIONS:
        return True
    return str(place[1]).startswith(_OBJECTS) == isinstance(given[str(place[0])], dict)


def _named(place: tuple[int | str, ...]) -> list[str]:
    """Without what is pydantic's name and none of ours: of a union's branch, or of a key."""
    named = [part if (part := str(step)).isprintable() else repr(part) for step in place if step != "[key]"]
    return [named[0], *named[2:]] if named and named[0] in _UNIONS else named
