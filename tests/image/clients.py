"""Of which services of AWS the functions make clients: the images have botocore's data of no others."""

import ast
import re
from collections.abc import Iterator

from tests.image.engine import REPOSITORY

MAKERS = {"client", "create_client"}
PASSES_ON = REPOSITORY / "session" / "aws.py"  # what its caller names
PARTS = ("lambda_image", "prologue", "session")
BUILD_ONLY = REPOSITORY / "lambda_image" / "engine" / "convert"

# Makes a client of each service that it is told, as the functions do.
SCRIPT = """
import os, sys
os.environ |= dict(AWS_DEFAULT_REGION="eu-central-1", AWS_ACCESS_KEY_ID="none", AWS_SECRET_ACCESS_KEY="none")
from session import aws
for service in sys.argv[1:]:
    print(aws.client(service).meta.service_model.service_name)
"""


class NotNamedError(ValueError):
    """Code makes a client of a service that can't be read off it; the message says where."""


def services() -> list[str]:
    """Every service whose client the functions' code makes, sorted. Raises NotNamedError."""
    found = {
        service
        for part in PARTS
        for path in (REPOSITORY / part).rglob("*.py")
        if path != PASSES_ON and BUILD_ONLY not in path.parents
        for service in made_by(path.read_text(encoding="utf-8"), str(path))
    }
    return sorted(found)


def made_by(code: str, name: str) -> Iterator[str]:
    """The services that a module makes clients of. Raises NotNamedError."""
    for node in ast.walk(ast.parse(code)):
        if not isinstance(node, ast.Call):
            continue
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", None)
        if called in MAKERS:
            match node.args:
                case [ast.Constant(str(service)), *_]:
                    yield service
                case _:
                    raise NotNamedError(f"{name}:{node.lineno}: of which service is this a client?")


def kept() -> list[str]:
    """The services that the images keep botocore's data of, sorted."""
    script = (REPOSITORY / "lambda_image" / "packages.sh").read_text()
    (listed,) = re.findall(r'^services="(.*)"$', script, re.MULTILINE)
    return sorted(listed.split())
