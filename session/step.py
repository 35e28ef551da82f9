"""One transition in the making, and the rules that both sides of a session share."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prologue import dialogue
from session.actions import Action, Invoke, Post
from session.events import Frame, ModelStatus, TurnDone, TurnStatus, TurnSuggestions
from session.limits import limits
from session.record import OPENING_TURN, LiveTurn, Phase, Session, Turn

if TYPE_CHECKING:
    from prologue.world import World


class SeatLost(Exception):
    """Another invocation holds the seat (or none any more): this one must fall silent."""


@dataclass(frozen=True)
class Outcome:
    """The new record (None: nothing to store), finished turns to archive with it, and what to do then."""

    session: Session | None
    actions: Sequence[Action] = ()
    archive: Sequence[Turn] = ()


class Step:
    """One transition in the making: the record so far, and the actions it asks for."""

    def __init__(self, session: Session, now: float, world: "World") -> None:
        self.before = session
        self.session = session
        self.now = now
        self.world = world
        self.actions: list[Action] = []
        self.archive: list[Turn] = []

    def set(self, **fields: object) -> None:
        self.session = self.session.model_copy(update=fields)

    def set_model(self, **fields: object) -> None:
        self.set(model=self.session.model.model_copy(update=fields))

    def set_seat(self, **fields: object) -> None:
        self.set(seat=self.session.seat.model_copy(update=fields))

    def post(self, frame: Frame) -> None:
        self.actions.append(Post(frame))

    def tell(self, told: dialogue.DialogueState) -> None:
        """Takes the dialogue's new state and posts what it added."""
        since = len(self.session.dialogue.log)
        self.set(dialogue=told)
        for entry in dialogue.entries(told, self.world, since):
            self.post(entry)

    def tell_again(self, question_id: str) -> None:
        """Posts what followed an answer once more."""
        told = self.session.dialogue
        reply = f"reply:{question_id}"
        since = told.log.index(reply) if reply in told.log else len(told.log) - 1
        for entry in dialogue.entries(told, self.world, since):
            self.post(entry)

    def post_status(self) -> None:
        self.post(model_status(self.session))

    def outcome(self) -> Outcome:
        changed = self.session is not self.before
        return Outcome(self.session if changed else None, tuple(self.actions), tuple(self.archive))

    # ---- rules that both sides share ----

    def call_model(self) -> None:
        """There is work, or a wish to wake: tell the live holder, or take the seat and invoke."""
        self.set(work_seq=self.session.work_seq + 1)
        if self.session.seat.live(self.now):
            return
        epoch = self.session.seat.epoch + 1
        self.set_seat(epoch=epoch, holder="", expires=self.now + limits().seat_s)
        if not self.session.model.woken_at:
            self.set_model(woken_at=self.now)
        self.set_model(state="starting", message=None, eta_s=None)
        self.post_status()
        self.actions.append(Invoke(epoch))

    def begin_turn(self, turn_id: str, said: str, seed: int) -> None:
        """Writes a turn down as waiting work; an earlier stop for it ends it at once."""
        turn = LiveTurn(turn_id=turn_id, number=self.session.turns, said=said, seed=seed, created=self.now)
        self.set(live=turn, stop=False)
        if turn_id in self.session.tombstones:
            self.end_live("stopped", "stopped")

    def begin_opening(self, seed: int) -> None:
        """The opening scene, once: called by whichever of "prologue over" and "model ready" comes last."""
        if self.session.phase is Phase.AWAITING and self.session.live is None:
            self.set(phase=Phase.STORY)
            self.begin_turn(OPENING_TURN, "", seed)

    def finish_turn(self, done: TurnDone) -> None:
        """Gives the live turn its one terminal state."""
        live = self.session.live
        assert live is not None
        self.archive.append(
            Turn(
                number=live.number,
                turn_id=live.turn_id,
                version=live.version,
                said=live.said,
                text=live.text,
                status=done.status,
                finish_reason=done.finish_reason,
                source="model",
                created=live.created,
            )
        )
        self.close_turn(done)
        self.set(live=None, stop=False)
        if live.turn_id == OPENING_TURN and done.status == "completed" and self.world.suggestions:
            self.post(TurnSuggestions(turn_id=live.turn_id, suggestions=list(self.world.suggestions)))

    def close_turn(self, done: TurnDone) -> None:
        self.set(
            turns=self.session.turns + 1,
            recent=(*self.session.recent, done.turn_id)[-limits().recent_turns :],
            last_done=done,
            tombstones=tuple(t for t in self.session.tombstones if t != done.turn_id),
        )
        self.post(done)

    def end_live(self, status: TurnStatus, reason: str) -> None:
        """Ends the live turn, if there is one, with the text that is stored."""
        live = self.session.live
        if live is not None:
            self.finish_turn(
                TurnDone(
                    turn_id=live.turn_id,
                    version=live.version,
                    status=status,
                    finish_reason=reason,
                    length=live.length,
                )
            )

    def fail_model(self, message: str) -> None:
        """The model could not be woken: say so, in character and in plain words."""
        self._empty_seat()
        self.set_model(state="failed", message=message, woken_at=0.0, eta_s=None)
        self.end_live("failed", "model_failed")
        if self.session.phase is not Phase.STORY:
            self.tell(dialogue.cue(self.session.dialogue, "failed"))
        self.post_status()

    def _empty_seat(self) -> None:
        """Spends the epoch: whoever had it, or comes late with it, is refused."""
        self.set_seat(epoch=self.session.seat.epoch + 1, holder="", expires=0.0)

    def lose_holder(self) -> None:
        """The holder died while it was telling a turn: what is stored of it stays."""
        self._empty_seat()
        self.end_live("incomplete", "lost")
        self.set_model(state="resting", woken_at=0.0)
        self.post_status()


def model_status(session: Session) -> ModelStatus:
    model = session.model
    loading = model.state == "loading"
    return ModelStatus(
        name=session.model_name,
        state=model.state,
        loaded_bytes=model.loaded_bytes if loading else None,
        total_bytes=model.total_bytes if loading else None,
        eta_s=model.eta_s if loading else None,
        message=model.message,
    )
