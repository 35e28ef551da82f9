"""The model function's work, free of Lambda: serve the session it was invoked for, then whoever waits."""

import logging
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lambda_image.holding import Holding, patiently
from lambda_image.meter import INIT_S
from lambda_image.narrator import Narrator
from lambda_image.slot import hand_over
from lambda_image.tasks import Tasks, Threads
from lambda_image.visit import Left, Visit, has_room
from lambda_image.waking import SleepingModel
from session.inputs import Called, Claimed, Input, Released, Rested
from session.limits import limits
from session.record import Session
from session.runner import LOST, Runner
from session.settings import Clients, Settings

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from lambda_image.engine.bundle.reading import Reading

log = logging.getLogger(__name__)


def random_seed() -> int:
    return secrets.randbelow(2**31)


class ModelService:
    """Args:
    seeds: gives a new seed at each call.
    init_s: so much of this environment's init, at most, is its first session's to answer for.
    """

    def __init__(
        self,
        runner: Runner,
        model: SleepingModel,
        *,
        tasks: Tasks,
        seeds: Callable[[], int] = random_seed,
        init_s: float = INIT_S,
    ) -> None:
        self._runner = runner
        self._model = model
        self._tasks = tasks
        self._seeds = seeds
        self._init_s = init_s
        # Of this environment: an event that came to nothing, or a booking that failed. None: its init.
        self._unbooked_s: float | None = None

    def serve(
        self, session_id: str, epoch: int, *, holder: str, deadline: float, memory_mb: int
    ) -> dict[str, Any]:
        """Serves a session until it has no more work, then those who wait for a slot while time is left.

        Args:
            epoch: of the seat that this invocation was made for.
            holder: this invocation's request id.
            deadline: when it must be over (monotonic seconds).
            memory_mb: what the function is billed for.

        Returns how many turns were told in how many sessions, and how the last session was left.
        """
        told, sessions = 0, 0
        left: Left = "seat_lost"
        since = self._tasks.monotonic()
        since -= (
            min(since - self._model.started, self._init_s) if self._unbooked_s is None else self._unbooked_s
        )
        # An event that is delivered twice has one request id, and may be served by two environments at once.
        holder = f"{holder}.{self._seeds():x}"
        session = self._seated(session_id, Claimed(epoch=epoch, holder=holder), deadline)
        if session is None:
            self._give_up(session_id, epoch, deadline)
        while session is not None:
            holding = Holding(self._runner, self._tasks, session, deadline, since)
            visit = Visit(holding, self._model, seeds=self._seeds, memory_mb=memory_mb, fresh=sessions == 0)
            left = visit.play(session)
            told, sessions = told + visit.told, sessions + 1
            session = self._next(holding, left)
            since = holding.slot.meter.since
        self._unbooked_s = self._tasks.monotonic() - since
        return {"told": told, "sessions": sessions, "left": left}

    def _seated(self, session_id: str, event: Input, deadline: float) -> Session | None:
        """The session, if its seat is ours now."""
        try:
            return patiently(self._tasks, deadline, lambda: self._runner.apply(session_id, event))
        except LOST as lost:
            log.info("session %s: %s", session_id, lost)
            return None

    def _give_up(self, session_id: str, epoch: int, deadline: float) -> None:
        """Nobody will serve this epoch any more: its slot is free at once, not when its lease runs out."""
        found = patiently(
            self._tasks, deadline, lambda: self._runner.store.load(session_id, self._runner.clock())
        )
        if found is None or found.deleted or found.seat.epoch != epoch:  # else another environment serves it
            for model_name in self._runner.models:
                hand_over(self._runner.capacity, model_name, session_id, epoch, to_next=False)

    def _next(self, done: Holding, left: Left) -> Session | None:
        """Gives the slot back, and takes the seat of the session that has it now, if one waits."""
        free = (
            left in ("released", "seat_lost")
            and self._model.narrator is not None
            and done.left_s() > limits().turn_room_s
            and has_room(done.left_s(), self._model.tokens_per_s)
        )
        waiting = done.slot.give_back(to_next=free)
        while waiting is not None:
            session = self._seated(waiting, Called(holder=done.holder), done.deadline)
            if session is not None:
                refusal = self._refused(session, done)
                if refusal is None:
                    return session
                self._seated(waiting, refusal, done.deadline)
            waiting = hand_over(self._runner.capacity, done.model_name, waiting, 0, to_next=True)
        return None

    def _refused(self, session: Session, done: Holding) -> Input | None:
        """What a queued session is told instead of being served, if it can't be."""
        epoch = session.seat.epoch
        if session.model_name != done.model_name:  # it has gone over to another one since it queued
            return Released(epoch=epoch, work_seq=session.work_seq)
        rest = patiently(self._tasks, done.deadline, lambda: self._runner.ledger.rest(session))
        return None if rest is None else Rested(epoch=epoch, until=rest.until, own=rest.own)


class ModelSettings(Settings):
    model_name: str


def make_model(
    bundle: Path, reading: "Reading", *, started: float, tokenizer: "Tokenizer | None" = None
) -> SleepingModel:
    """The model of this environment, asleep. `tokenizer` as in `Engine.load`."""

    def load() -> Narrator:
        from lambda_image.engine.engine import Engine

        reading.retry()
        return Engine.load(bundle, reading, tokenizer=tokenizer)

    return SleepingModel(load, reading, started, tasks=Threads())


def make_service(model: SleepingModel, *, provisioned: bool = False) -> ModelService:
    """The service of this environment, with AWS behind it. `provisioned`: it began for nobody's session."""
    settings = ModelSettings.from_environment()
    clients = Clients(settings)
    runner = Runner(
        store=clients.store,
        poster=clients.poster,
        worlds=settings.world_loader(),
        clock=time.time,
        models=(settings.model_name,),
        environments=settings.capacity,
        caps=settings.caps(),
    )
    return ModelService(runner, model, tasks=Threads(), init_s=0.0 if provisioned else INIT_S)
