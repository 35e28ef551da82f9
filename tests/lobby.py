"""The light function with everything around it in memory."""

import dataclasses
import itertools
import json
from typing import Any, TypeVar

from prologue.service import PrologueService
from session.events import ErrorFrame, Frame, Metrics, SessionReady, WorldView
from session.inputs import Began, Claimed, Finished, Ready, Released
from session.record import Session
from session.runner import InvokeRefused, Runner
from tests.fakes import Clock, MemoryStore, RecordingPoster, emerald_city

F = TypeVar("F", bound=Frame)
OFFER = (
    WorldView(name="emerald-city", language="en", title="The Emerald City"),
    WorldView(name="emerald-city", language="de", title="Die Smaragdstadt"),
    WorldView(name="harbour", language="en", title="The Harbour"),
)


@dataclasses.dataclass(frozen=True)
class FaqMatch:
    answer: str


@dataclasses.dataclass
class Faq:
    """Knows one question, and takes some time."""

    clock: Clock
    asked: list[str] = dataclasses.field(default_factory=list)
    takes_s: float = 0.0

    def match(self, text: str) -> FaqMatch | None:
        self.asked.append(text)
        self.clock.now += self.takes_s
        return FaqMatch("A house of stories.") if text == "What is this?" else None


class Lobby:
    """`loaded` are the FAQs that were asked for, in order, with the frames posted before."""

    def __init__(self, environments: int = 5) -> None:
        self.clock, self.store, self.poster = Clock(), MemoryStore(), RecordingPoster()
        self.faq = Faq(self.clock)
        self.invoked: list[int] = []
        self.loaded: list[tuple[str, str, int]] = []
        self.refusal: InvokeRefused | None = None
        self.runner = Runner(
            store=self.store,
            poster=self.poster,
            worlds=lambda name, language: emerald_city(),
            clock=self.clock,
            models=("demo", "large"),
            offer=OFFER,
            environments=environments,
            invoke=self._invoke,
        )
        numbers = itertools.count(1)
        self.service = PrologueService(
            self.runner,
            matcher=self._matcher,
            tokens=lambda size: f"token{next(numbers)}of{size}",
            seeds=lambda: 7,
        )

    def _matcher(self, world: str, language: str) -> Any:
        self.loaded.append((world, language, len(self.poster.posted)))
        return self.faq

    def _invoke(self, session: Session, epoch: int) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.invoked.append(epoch)

    def send(
        self, connection_id: str = "c1", *, address: str = "", subject: str | None = None, **frame: Any
    ) -> list[Frame]:
        """What one frame is answered with on its connection."""
        self.clock.now += 1.0
        self.service.message(connection_id, json.dumps(frame), address=address, subject=subject)
        return self.poster.take(connection_id)

    def hello(self, connection_id: str = "c1", **more: Any) -> SessionReady:
        ready = self.send(connection_id, action="hello", v=1, **more)[0]
        assert isinstance(ready, SessionReady), ready
        return ready

    def session(self) -> Session:
        """The newest one."""
        return list(self.store.heads.values())[-1]

    def tell(self, text: str = "Once 🦊", finish_reason: str = "stop", total_s: float = 40.0) -> None:
        """The model function comes, tells the turn that waits, and leaves."""
        session_id, epoch = self.session().session_id, self.session().seat.epoch
        self.runner.apply(session_id, Claimed(epoch=epoch, holder="r"))
        self.runner.apply(session_id, Ready(epoch=epoch, seed=1))
        session = self.runner.apply(session_id, Began(epoch=epoch))
        live = session.live
        assert live is not None
        self.store.append_delta(session, offset=live.length, text=text, seat_expires=9e9)
        done = Finished(
            epoch=epoch,
            turn_id=live.turn_id,
            version=live.version,
            status="completed",
            finish_reason=finish_reason,
            metrics=Metrics(total_s=total_s),
        )
        session = self.runner.apply(session_id, done)
        self.runner.apply(session_id, Released(epoch=epoch, work_seq=session.work_seq))
        self.runner.capacity.leave(session.model_name, session_id, epoch)
        self.poster.take()

    def tell_opening(self) -> None:
        self.send(action="skip")
        self.tell()


def error(frames: list[Frame]) -> ErrorFrame:
    assert len(frames) == 1, frames
    assert isinstance(frames[0], ErrorFrame)
    return frames[0]


def only(frames: list[Frame], kind: type[F]) -> list[F]:
    return [frame for frame in frames if isinstance(frame, kind)]


def kinds(frames: list[Frame]) -> list[str]:
    return [frame.model_dump()["type"] for frame in frames]
