"""A listener: what people do at a client, at moments that the seed chooses."""

from random import Random
from typing import TYPE_CHECKING, Any

from local.story import Story
from tests.sim.client import Client
from tests.sim.gateway import Gateway
from tests.sim.offer import OFFER
from tests.sim.themes import Theme

if TYPE_CHECKING:
    from tests.sim.witness import Witness


class Listener(Client):
    def __init__(
        self,
        name: str,
        gateway: Gateway,
        witness: "Witness",
        random: Random,
        theme: Theme,
        story: Story | None = None,
        *,
        address: str,
        subject: str | None,
    ) -> None:
        super().__init__(name, gateway, witness, random, story, address=address, subject=subject)
        self.theme = theme
        self.passive = False  # does what it is told to, and nothing else

    def act(self) -> None:
        """Perhaps something, as the story stands."""
        if self.passive or self.random.random() > 0.45 or self.connection is None:
            return
        if self.story.question is not None:
            self._in_prologue()
        elif self.story.open_turn is not None:
            if self.random.random() < 0.12:
                self.stop()
            elif self.random.random() < 0.06:
                self.disturb()
        elif self.random.random() < 0.5:
            self.say()
        else:
            self.disturb()
            if self.random.random() < self.theme.hasty:
                self.disturb()

    def _in_prologue(self) -> None:
        question = self.story.question
        assert question is not None
        chance = self.random.random()
        if chance < 0.6:
            self.skip()
        elif chance < 0.75:
            choice = self.random.choice(question.choices).id
            self._send({"action": "answer", "question_id": question.id, "choice": choice})
        elif chance < 0.85 and question.free_text:
            self._send({"action": "answer", "question_id": question.id, "text": f"a thing of {self.name}"})
        elif chance < 0.9:
            self._send({"action": "skip", "question_id": question.id})
        elif chance < 0.95:
            self.disturb()
        else:
            self.say()

    def say(self, text: str | None = None) -> None:
        self._said += 1
        faq = text is None and self.random.random() < 0.15
        text = text or (f"FAQ {self._said}?" if faq else f"say {self.name} {self._said}")
        self._send(self.story.say(f"{self.name}-{self._said}", text))

    def stop(self) -> None:
        turn = self.story.open_turn
        frame = self.story.stop()
        if turn and frame:
            self.witness.stopped_by_listener.add((self.story.session_id, turn.turn_id))
            self._send(frame)

    def skip(self) -> None:
        """All questions that are left."""
        self._send({"action": "skip"})

    def disturb(self, kind: str = "") -> None:
        """One of the rarer things."""
        turn, random = self.story.last_turn, self.random
        kind = kind or random.choice(self.theme.rarer)
        plain = {"action": kind}
        frame: dict[str, Any] | None = plain
        if kind in ("retry", "continue", "not_faq"):
            frame = self.story.retell(kind)  # type: ignore[arg-type]
        elif kind == "edit":
            self._said += 1
            frame = self.story.retell("edit", f"edit {self.name} {self._said}")
        elif kind == "undo":
            frame = self.story.undo()
            self.undoing = turn.turn_id if turn and frame else None
        elif kind == "rename":
            plain["title"] = f"of {self.name}"
        elif kind == "model":
            plain["name"] = random.choice(list(self.story.models) or ["demo"])
        elif kind == "delete":
            self.deleting = random.random() < 0.5
            frame = frame if self.deleting else None
        elif kind == "world":
            frame = {"action": "world", "name": random.choice(OFFER).name} if random.random() < 0.3 else None
        elif kind == "reload":
            self.hang_up()
            self.retry_at = self.now.now + random.choice((0.0, 0.0, 2.0, 30.0))
            frame = None
        if frame:
            self._send(frame)
