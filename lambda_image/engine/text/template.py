"""Chat templates, rendered as transformers renders them: same sandbox, same functions, but on a fixed day."""

import json
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, NoReturn

import jinja2
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from lambda_image.engine.errors import CheckpointError, PromptError

TODAY = date(2024, 7, 26)  # what Llama 3.1's template falls back to; a prompt must not change at midnight


class ChatTemplate:
    """One compiled template; CheckpointError if it doesn't compile.

    `special_tokens` are the names that it may use, such as `bos_token`.
    """

    def __init__(self, source: str, special_tokens: Mapping[str, str]) -> None:
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols]
        )
        environment.filters["tojson"] = _tojson
        environment.globals |= {"raise_exception": _raise_exception, "strftime_now": TODAY.strftime}
        self._special_tokens = special_tokens
        try:
            self._template = environment.from_string(source)
        except jinja2.TemplateError as error:
            raise CheckpointError(f"the chat template can't be compiled: {error}") from None

    def render(self, messages: Sequence[Mapping[str, str]]) -> str:
        """The prompt's text, up to where the assistant is to speak. PromptError if the template refuses."""
        try:
            return self._template.render(
                messages=messages,
                tools=None,
                documents=None,
                add_generation_prompt=True,
                **self._special_tokens,
            )
        except jinja2.TemplateError as error:
            raise PromptError(f"the model's chat template refuses these messages: {error}") from None


def _tojson(value: Any, ensure_ascii: bool = False, **options: Any) -> str:
    """Unlike jinja's own filter, without HTML escapes."""
    return json.dumps(value, ensure_ascii=ensure_ascii, **options)


def _raise_exception(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)
