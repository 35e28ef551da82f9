"""What the model function needs of a model, and what it gives it to read."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from session.export import newest
from session.record import LiveTurn, Session, Turn

if TYPE_CHECKING:
    from lambda_image.engine.generation.reply import Piece
    from prologue.world import World

Message = dict[str, str]


class Narrator(Protocol):
    """`lambda_image.engine.engine.Engine`, or a stand-in of the tests."""

    def reply(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int,
        seed: int,
        should_stop: Callable[[], bool],
        continued: str = "",
    ) -> "Iterator[Piece]":
        """Streams a reply, or what follows `continued`, the beginning of one."""
        ...

    def about(self) -> dict[str, object]:
        """What serves, JSON-ready, after a test of it all; raises what it finds wrong."""
        ...


def prompt(session: Session, turns: Sequence[Turn], live: LiveTurn, world: "World") -> list[Message]:
    """The messages for the live turn: system prompt with the story facts, the story so far, what was said.

    Of each earlier turn the newest version with text counts. What the FAQ answered never enters, nor do
    earlier versions of the live turn.
    """
    messages = [{"role": "system", "content": world.render_system(session.dialogue.facts())}]
    for turn in newest(turns):
        if turn.source == "model" and turn.number < live.number:
            messages.append({"role": "user", "content": turn.said or world.opening_prompt})
            messages.append({"role": "assistant", "content": turn.text})
    messages.append({"role": "user", "content": live.said or world.opening_prompt})
    return messages
