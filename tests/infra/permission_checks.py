"""What every role may do was reviewed, whatever the options."""

import re
from functools import cache

from tests.infra.always import always
from tests.infra.normal import permissions
from tests.infra.snapshot import ALL_PERMISSIONS, PERMISSIONS
from tests.infra.synth import Synth

MODELS = r"llama3\.1-8b|llama318b|smollm2-?135m|demo"


@always
def no_option_gives_a_permission_that_was_not_reviewed(made: Synth) -> None:
    assert _lines(permissions(made)) <= _reviewed()


@cache
def _reviewed() -> set[str]:
    """The defaults', and those of everything that may be added."""
    return {line for path in (PERMISSIONS, ALL_PERMISSIONS) for line in _lines(path.read_text("utf-8"))}


def _lines(text: str) -> set[str]:
    """One action and resource each; all models have one name."""
    return set(re.sub(f"(?<=Model)({MODELS})|(?<=/)({MODELS})(?=/)", "NAME", text).splitlines())
