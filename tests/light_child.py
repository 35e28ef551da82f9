"""A cold light function's first listener: `python -m tests.light_child FAQ_DIR WORLDS_DIR [MODULE...]`.

The last line of stdout is one JSON document: CPU milliseconds of the imports (the handler, then the MODULEs)
and until the first line was posted, what was imported in between, which heavy libraries were there by then
and later, the types of the frames, and how long the FAQ took to load. The clients of AWS are real, but
requests to the gateway never leave; the table is in memory.
"""

import sys
import time
from importlib import import_module

BEGAN = time.process_time()

import prologue.handler as handler  # noqa: E402 (this import is what is measured)

for name in sys.argv[3:]:
    import_module(name)
IMPORTED = time.process_time()

import json  # noqa: E402
import os  # noqa: E402
from functools import cached_property  # noqa: E402
from io import BytesIO  # noqa: E402
from typing import Any, cast  # noqa: E402

from botocore.awsrequest import AWSPreparedRequest, AWSResponse, HTTPHeaders  # noqa: E402

from session import aws  # noqa: E402
from session.settings import Clients  # noqa: E402
from tests.fakes import MemoryStore  # noqa: E402

HEAVY = ("faiss", "numpy", "onnxruntime", "tokenizers", "torch")
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
    "AWS_DEFAULT_REGION": "us-east-1",
    "CALLBACK_URL": "https://gateway.invalid/stage",
    "MODELS": '{"demo": "model-function"}',
    "POWERTOOLS_SERVICE_NAME": "prologue",
    "TABLE_NAME": "table",
}


class Body(BytesIO):
    """What botocore reads an answer from."""

    def stream(self, **_: Any) -> Any:
        yield self.read()


class ClientOfMemory(Clients):
    @cached_property
    def store(self) -> Any:
        aws.client("dynamodb")  # made as on Lambda, for what that takes
        return MemoryStore()


def loaded() -> list[str]:
    return [name for name in HEAVY if name in sys.modules]


def main() -> None:
    os.environ.update(ENVIRONMENT, FAQ_DIR=sys.argv[1], WORLDS_DIR=sys.argv[2])
    vars(handler)["Clients"] = ClientOfMemory
    posted: list[dict[str, Any]] = []

    def answer(request: AWSPreparedRequest, **_: Any) -> Any:
        frame = json.loads(cast(bytes, request.body))
        cpu, now = time.process_time(), time.perf_counter()
        posted.append(
            {"type": frame["type"], "cpu": cpu, "at": now, "loaded": loaded(), "modules": list(sys.modules)}
        )
        return AWSResponse(request.url, 200, HTTPHeaders(), Body())

    aws.session().get_component("event_emitter").register("before-send.apigatewaymanagementapi", answer)
    context = {"connectionId": "connection", "eventType": "MESSAGE", "identity": {"sourceIp": "192.0.2.1"}}
    known = set(sys.modules)
    greeting = time.process_time()
    handler.lambda_handler({"requestContext": context, "body": '{"action": "hello", "v": 1}'}, None)
    returned = time.perf_counter()
    first = next(frame for frame in posted if frame["type"] == "prologue.line")
    document = {
        "import_cpu_ms": (IMPORTED - BEGAN) * 1000,
        "first_line_cpu_ms": (IMPORTED - BEGAN + first["cpu"] - greeting) * 1000,
        "imported_later": [name for name in first["modules"] if name not in known],
        "modules_at_first_line": [name for name in first["modules"] if "." not in name],
        "faq_load_ms": (returned - posted[-1]["at"]) * 1000,
        "loaded_by_first_line": first["loaded"],
        "loaded_by_last_post": posted[-1]["loaded"],
        "loaded_at_return": loaded(),
        "posted": [frame["type"] for frame in posted],
    }
    print(json.dumps(document))


if __name__ == "__main__":
    main()
