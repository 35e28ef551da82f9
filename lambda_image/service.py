"""The model function's work, free of Lambda: hold the seat of one session, wake, tell its turns, leave."""

import logging
import secrets
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lambda_image.delivery import Delivery
from lambda_image.linger import linger
from lambda_image.narrator import Narrator, prompt
from lambda_image.waking import LoadError, SleepingModel
from prologue.world import World, load_world
from session.events import Metrics, TurnStatus, Usage
from session.inputs import Began, Claimed, Finished, LoadFailed, Loading, Ready, Released
from session.limits import limits
from session.prices import prices
from session.record import Phase, Session
from session.runner import Runner, UnknownSession
from session.settings import Clients, Settings
from session.step import SeatLost

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from lambda_image.engine.bundle.readahead import ReadAhead
    from lambda_image.engine.generation.reply import ReplyEnd

log = logging.getLogger(__name__)


class ModelService:
    def __init__(self, runner: Runner, model: SleepingModel) -> None:
        self._runner = runner
        self._model = model

    def serve(
        self, session_id: str, epoch: int, *, holder: str, deadline: float, memory_mb: int
    ) -> dict[str, Any]:
        """Serves a session until it has no more work; what gets lost is the light side's to find.

        Args:
            epoch: of the seat that this invocation was made for.
            holder: this invocation's request id.
            deadline: when it must be over (monotonic seconds).
            memory_mb: what the function is billed for.
        """
        told, lingered_s = 0, 0.0
        try:
            self._runner.apply(session_id, Claimed(epoch=epoch, holder=holder))
            cold = self._model.narrator is None
            narrator = self._wake(session_id, epoch)
            if narrator is None:
                return {"told": 0, "left": "load_failed"}
            cold_start_s = self._model.cold_start_s if cold else None
            session = self._ready(session_id, epoch)
            while session.seat.holder == holder:
                away = session.deserted(self._runner.clock(), limits().grace_s)
                if session.live is not None and not away:
                    waited = cold_start_s, lingered_s
                    session = self._tell(narrator, session, deadline, memory_mb, *waited)
                    told, cold_start_s, lingered_s = told + 1, None, 0.0
                elif session.phase is Phase.AWAITING and not away:
                    session = self._ready(session_id, epoch)
                elif told and not lingered_s and limits().linger_s:
                    session, lingered_s = linger(
                        self._runner, session, deadline=deadline, memory_mb=memory_mb
                    )
                else:  # what waits for a listener who is away is begun when they come back
                    # Noted first: between release and return, the next invoke would find no free environment.
                    self._runner.store.note_model(session.model_name, self._runner.clock())
                    leave = Released(epoch=epoch, work_seq=session.work_seq)
                    session = self._runner.apply(session_id, leave)
        except (SeatLost, UnknownSession) as lost:
            log.info("session %s: %s", session_id, lost)
            return {"told": told, "left": "seat_lost"}
        return {"told": told, "left": "released"}

    def about(self) -> dict[str, Any]:
        """What serves in this environment, once the model is awake. Raises LoadError, BundleError."""
        for _ in self._model.wake(limits().progress_s):
            pass
        assert self._model.narrator is not None
        return self._model.narrator.about()

    def _wake(self, session_id: str, epoch: int) -> Narrator | None:
        try:
            for loaded, total, eta in self._model.wake(limits().progress_s):
                event = Loading(epoch=epoch, loaded_bytes=loaded, total_bytes=total, eta_s=eta)
                self._runner.apply(session_id, event)
        except LoadError as error:
            log.exception("the model could not be loaded")
            self._runner.apply(session_id, LoadFailed(epoch=epoch, message=str(error)))
        return self._model.narrator

    def _ready(self, session_id: str, epoch: int) -> Session:
        return self._runner.apply(session_id, Ready(epoch=epoch, seed=secrets.randbelow(2**31)))

    def _tell(
        self,
        narrator: Narrator,
        session: Session,
        deadline: float,
        memory_mb: int,
        cold_start_s: float | None,
        lingered_s: float,
    ) -> Session:
        """Tells the waiting turn, and gives it its terminal state."""
        started = time.monotonic()
        session_id, epoch = session.session_id, session.seat.epoch
        session = self._runner.apply(session_id, Began(epoch=epoch))
        live = session.live
        if live is None:  # stopped in the last moment
            return session
        messages = prompt(
            session, self._runner.store.turns(session_id), live, self._runner.world(session.world)
        )
        delivery = Delivery(self._runner, session)
        late = deadline - limits().deadline_s
        end: ReplyEnd | None = None
        delivery.start()
        try:
            for piece in narrator.reply(
                messages,
                max_tokens=limits().max_tokens,
                seed=live.seed,
                should_stop=lambda: delivery.should_stop() or time.monotonic() > late,
            ):
                if piece.text:
                    delivery.put(piece.text)
                end = piece.end or end
        except Exception:  # a reply that breaks ends its turn, not the environment
            log.exception("turn %s of session %s broke off", live.turn_id, session_id)
        finally:
            delivery.finish()
        if delivery.reason == "seat_lost":
            raise SeatLost(f"turn {live.turn_id} went to somebody else")
        status, reason = _ending(end, delivery)
        return self._runner.apply(
            session_id,
            Finished(
                epoch=epoch,
                turn_id=live.turn_id,
                version=live.version,
                status=status,
                finish_reason=reason,
                usage=_usage(end),
                metrics=_metrics(end, time.monotonic() - started, cold_start_s, lingered_s, memory_mb),
            ),
        )


def _ending(end: "ReplyEnd | None", delivery: Delivery) -> tuple[TurnStatus, str]:
    if delivery.reason == "stopped":
        return "stopped", "stopped"
    if delivery.reason is not None:
        return "incomplete", delivery.reason
    if end is None:
        return "failed", "error"
    if end.finish_reason == "cancelled":
        return "incomplete", "deadline"
    return "completed", end.finish_reason


def _usage(end: "ReplyEnd | None") -> Usage | None:
    if end is None:
        return None
    measured = end.metrics
    return Usage(
        prompt_tokens=measured.prompt_tokens,
        completion_tokens=measured.completion_tokens,
        kv_reused_tokens=measured.kv_reused_tokens,
        kv_lost_tokens=measured.kv_lost_tokens,
        dropped_turns=measured.dropped_turns + measured.budget_dropped_turns,
    )


def _metrics(
    end: "ReplyEnd | None", total_s: float, cold_start_s: float | None, lingered_s: float, memory_mb: int
) -> Metrics | None:
    if end is None:
        return None
    measured = end.metrics
    billed = total_s + (cold_start_s or 0.0) + lingered_s
    return Metrics(
        cold_start_s=round(cold_start_s, 3) if cold_start_s is not None else None,
        prefill_s=round(measured.prefill_s, 4),
        ttft_s=round(measured.ttft_s or 0.0, 4),
        decode_s=round(measured.decode_s, 4),
        decode_tokens_per_s=round(measured.decode_tokens_per_s or 0.0, 2),
        total_s=round(total_s, 4),
        cost_usd=round(prices().compute(seconds=billed, memory_mb=memory_mb), 8),
    )


def make_service(
    bundle: Path, readahead: "ReadAhead", *, started: float, tokenizer: "Tokenizer | None" = None
) -> ModelService:
    """The service of this environment, with AWS behind it. `tokenizer` as in `Engine.load`."""
    settings = Settings.from_environment()
    clients = Clients(settings)

    def load() -> Narrator:
        from lambda_image.engine.engine import Engine

        readahead.retry()
        return Engine.load(bundle, readahead, tokenizer=tokenizer)

    @cache
    def world(name: str) -> World:
        return load_world(settings.worlds_dir / name)

    runner = Runner(store=clients.store, poster=clients.poster, worlds=world, clock=time.time)
    return ModelService(runner, SleepingModel(load, readahead, started))
