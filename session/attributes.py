"""What JSON knows as DynamoDB's attribute values (`AttributeValue` in its API reference), and back.

boto3 has this too, but only together with all of boto3: a twentieth of what a cold start imports.
"""

from collections.abc import Mapping
from typing import Any

Attribute = dict[str, Any]  # {"S": ...}, {"N": ...}, ...


def encode(value: object) -> Attribute:
    """Floats are exact to the last digit that Python shows. Raises TypeError for what JSON doesn't know."""
    match value:
        case None:
            return {"NULL": True}
        case bool():
            return {"BOOL": value}
        case str():
            return {"S": str(value)}
        case int():
            return {"N": str(value)}
        case float():
            return {"N": repr(value).removesuffix(".0")}  # which the table would drop as well
        case list() | tuple():
            return {"L": [encode(item) for item in value]}
        case dict():
            return {"M": {key: encode(item) for key, item in value.items()}}
    raise TypeError(f"DynamoDB's items don't get a {type(value).__name__}")


def decode(attribute: Mapping[str, Any]) -> Any:
    """What `encode` was given, but for `1.0`, which is 1. Raises ValueError for what it never makes."""
    match dict(attribute):
        case {"NULL": True}:
            return None
        case {"BOOL": value} | {"S": value}:
            return value
        case {"N": shown}:
            return int(shown) if shown.removeprefix("-").isdigit() else float(shown)
        case {"L": items}:
            return [decode(item) for item in items]
        case {"M": items}:
            return {key: decode(item) for key, item in items.items()}
    raise ValueError(f"an attribute of the types {', '.join(attribute)} is none of ours")
