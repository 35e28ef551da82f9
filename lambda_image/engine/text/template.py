"""Chat templates, rendered as transformers renders them: same sandbox, same functions, but on a fixed day."""

import json
from collections.abc import Mapping, Sequence
from datetime import date
from functools import cached_property
from itertools import takewhile
from typing import Any, NoReturn

import jinja2
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from lambda_image.engine.errors import CheckpointError, PromptError

TODAY = date(2024, 7, 26)  # what Llama 3.1's template falls back to; a prompt must not change at midnight
PROBE = "stage-door"  # a text that no template writes by itself

Message = Mapping[str, str]


class ChatTemplate:
    """One compiled template; CheckpointError if it doesn't compile.

    `special_tokens` are the names that it may use, such as `bos_token`. Models that can think are told not
    to: a story begins with its first word.
    """

    def __init__(self, source: str, special_tokens: Mapping[str, str]) -> None:
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, _Generation]
        )
        environment.filters["tojson"] = _tojson
        environment.globals |= {"raise_exception": _raise_exception, "strftime_now": TODAY.strftime}
        self._special_tokens = special_tokens
        try:
            self._template = environment.from_string(source)
        except jinja2.TemplateError as error:
            raise CheckpointError(f"the chat template can't be compiled: {error}") from None

    def render(self, messages: Sequence[Message]) -> str:
        """The prompt's text, up to where the assistant is to speak. PromptError if the template refuses.

        Where the template refuses or drops system messages (Mistral's did), their text opens the first user
        message instead, as that family's users write it.
        """
        return self._render(messages if self.takes_system else _merged(messages))

    @cached_property
    def takes_system(self) -> bool:
        """Whether a system message reaches the model."""
        try:
            probed = [{"role": "system", "content": PROBE}, {"role": "user", "content": "?"}]
            return PROBE in self._render(probed)
        except PromptError:
            return False

    @cached_property
    def cue(self) -> str:
        """What a prompt has after the last user message: the words that make the assistant speak."""
        return self._render([{"role": "user", "content": PROBE}]).rpartition(PROBE)[2]

    def _render(self, messages: Sequence[Message]) -> str:
        try:
            return self._template.render(
                messages=messages,
                tools=None,
                documents=None,
                add_generation_prompt=True,
                enable_thinking=False,
                **self._special_tokens,
            )
        except jinja2.TemplateError as error:
            raise PromptError(f"the model's chat template refuses these messages: {error}") from None


class _Generation(Extension):
    """`{% generation %}` marks assistant text for training. Here it is only its body."""

    tags = {"generation"}  # noqa: RUF012  # jinja's type

    def parse(self, parser: Parser) -> list[jinja2.nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _merged(messages: Sequence[Message]) -> list[Message]:
    system = [m["content"] for m in takewhile(lambda message: message["role"] == "system", messages)]
    rest = list(messages[len(system) :])
    if not system:
        return rest
    if rest and rest[0]["role"] == "user":
        system.append(rest.pop(0)["content"])
    return [{"role": "user", "content": "\n\n".join(system)}, *rest]


def _tojson(value: Any, ensure_ascii: bool = False, **options: Any) -> str:
    """Unlike jinja's own filter, without HTML escapes."""
    return json.dumps(value, ensure_ascii=ensure_ascii, **options)


def _raise_exception(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)
