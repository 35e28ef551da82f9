"""The story facts: what the answers of the prologue become, and all of it that the model is told.

jinja2 is imported at the first use only: a cold start of the light function renders no facts.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Template


def render(source: str, answers: Mapping[str, str]) -> str:
    """The facts on one line. Answers are data, never template; their line breaks and last full stop go."""
    values = {id: _one_line(answer).rstrip(". ") for id, answer in answers.items()}
    return _one_line(_template(source).render(values))


def try_facts(source: str, questions: Sequence[str]) -> None:
    """Renders `source` with every question answered and with none, so that it cannot fail in a session.

    Raises ValueError for a template that is broken, or that names something that is no question.
    """
    import jinja2
    import jinja2.meta

    try:
        template = _template(source)
        names = jinja2.meta.find_undeclared_variables(template.environment.parse(source))
        if unknown := sorted(names - set(questions)):
            raise ValueError(f"unknown question {', '.join(unknown)}; questions: {', '.join(questions)}")
        for value in ("x", ""):
            template.render(dict.fromkeys(names, value))
    except jinja2.TemplateSyntaxError as error:
        raise ValueError(f"template does not compile: {error.message} (its line {error.lineno})") from error
    except jinja2.TemplateError as error:
        raise ValueError(f"template does not render: {error.message}") from error


def _one_line(text: str) -> str:
    return " ".join(text.split())


@lru_cache(maxsize=16)
def _template(source: str) -> "Template":
    from jinja2 import StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    return ImmutableSandboxedEnvironment(undefined=StrictUndefined).from_string(source)
