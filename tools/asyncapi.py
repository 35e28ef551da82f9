"""Writes `docs/asyncapi.yaml` from the wire schema: `python -m tools.asyncapi [FILE]`."""

import sys
from pathlib import Path
from typing import Any

import yaml

from session.events import MAX_FRAME_BYTES, VERSION, server_frames
from session.requests import client_frames

TARGET = Path(__file__).parent.parent / "docs" / "asyncapi.yaml"


def document() -> dict[str, Any]:
    """The AsyncAPI 3.0 document."""
    client, server = client_frames.json_schema(), server_frames.json_schema()
    definitions = client.pop("$defs") | server.pop("$defs")
    messages = {
        name: {"name": wire_name, "payload": {"$ref": f"#/components/schemas/{name}"}}
        for schema in (client, server)
        for wire_name, name in _variants(schema)
    }
    sent = [name for _, name in _variants(client)]
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Curtain",
            "version": str(VERSION),
            "description": f"JSON text frames of at most {MAX_FRAME_BYTES // 1024} KB each way. "
            "Generated from session/requests.py and session/events.py; see protocol.md for what they mean.",
        },
        "channels": {
            "session": {
                "address": "/{stage}",
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
            }
        },
        "operations": {
            "fromClient": _operation("receive", sent),
            "toClient": _operation("send", [name for name in messages if name not in sent]),
        },
        "components": {"messages": messages, "schemas": _local_refs(definitions)},
    }


def _variants(schema: dict[str, Any]) -> list[tuple[str, str]]:
    """(name on the wire, name of the schema) of each frame of a discriminated union."""
    mapping: dict[str, str] = schema["discriminator"]["mapping"]
    return [(wire_name, ref.rsplit("/", 1)[1]) for wire_name, ref in mapping.items()]


def _operation(action: str, names: list[str]) -> dict[str, Any]:
    return {
        "action": action,
        "channel": {"$ref": "#/channels/session"},
        "messages": [{"$ref": f"#/channels/session/messages/{name}"} for name in names],
    }


def _local_refs(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: item.replace("#/$defs/", "#/components/schemas/") if key == "$ref" else _local_refs(item)
            for key, item in value.items()
        }
    return [_local_refs(item) for item in value] if isinstance(value, list) else value


def render() -> str:
    return yaml.safe_dump(document(), sort_keys=False, allow_unicode=True, width=110)


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET
    target.write_text(render(), encoding="utf-8")
    print(f"wrote {target}")
