"""Bugs in the rules of the session: see `tests.sim.mutations`."""

from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

from session import holder, retelling, saying, settling, starts, turns
from session.inputs import Claimed, Disconnected, ModelChosen, Released, Retold
from session.record import Phase
from session.step import Step
from tests.sim.mutations import mutation


@mutation()
def holder_speaks_with_a_spent_epoch() -> Iterator[None]:
    apply = holder.apply

    def any_epoch(step: Step, event: Any) -> None:
        apply(step, event.model_copy(update={"epoch": step.session.seat.epoch}))

    with patch.object(holder, "apply", any_epoch):
        yield


@mutation()
def two_holders_claim_one_epoch() -> Iterator[None]:
    apply = holder.apply

    def any_holder(step: Step, event: Any) -> None:
        if isinstance(event, Claimed) and event.epoch == step.session.seat.epoch:
            step.set_seat(holder="")
        apply(step, event)

    with patch.object(holder, "apply", any_holder):
        yield


@mutation()
def late_disconnect_clears_the_new_connection() -> Iterator[None]:
    def any_connection(step: Step, event: Disconnected) -> None:
        step.set(connection_id=None, gone_at=step.now)

    with patch.object(settling, "disconnected", any_connection):
        yield


@mutation()
def opening_begins_again() -> Iterator[None]:
    begin = starts.begin_opening

    def again(step: Step, seed: int) -> None:
        begin(step, seed)
        step.set(phase=Phase.AWAITING)

    with patch.object(starts, "begin_opening", again):
        yield


@mutation()
def dead_holder_is_never_replaced() -> Iterator[None]:
    settle = settling.settle

    def trusting(step: Step) -> None:
        if not step.session.seat.holder:
            settle(step)

    with patch.object(settling, "settle", trusting):
        yield


@mutation()
def repeated_retry_makes_another_version() -> Iterator[None]:
    retell = retelling.retell

    def eager(step: Step, event: Retold) -> None:
        last = step.session.last
        if last is not None and step.session.live is None and last.turn_id == event.turn_id:
            event = event.model_copy(update={"version": last.version})
        retell(step, event)

    with patch.object(retelling, "retell", eager):
        yield


@mutation()
def repeated_say_is_told_anew() -> Iterator[None]:
    close = turns.close

    def forgetful(step: Step, turn: Any, done: Any) -> None:
        close(step, turn, done)
        step.set(recent=())

    with patch.object(turns, "close", forgetful):
        yield


@mutation()
def turn_ends_twice() -> Iterator[None]:
    finish = turns.finish

    def keep(step: Step, done: Any) -> None:
        live = step.session.live
        finish(step, done)
        if done.status == "incomplete":
            step.set(live=live)

    with patch.object(turns, "finish", keep):
        yield


@mutation()
def undo_leaves_the_turn_in_the_table() -> Iterator[None]:
    undo = retelling.undo

    def superficial(step: Step, event: Any) -> None:
        undo(step, event)
        step.remove.clear()

    with patch.object(retelling, "undo", superficial):
        yield


@mutation()
def ping_does_not_tell_again() -> Iterator[None]:
    with patch.object(saying, "tell_again", lambda *_: None):
        yield


@mutation()
def continued_text_is_told_twice() -> Iterator[None]:
    begin = holder._begin

    def forget(step: Step) -> None:
        begin(step)
        live = step.session.live
        if live is not None and live.continued:
            step.set(
                live=live.model_copy(update={"chunks": (*live.chunks, live.text), "length": 2 * live.length})
            )

    with patch.object(holder, "_begin", forget):
        yield


@mutation()
def waiting_work_is_not_settled() -> Iterator[None]:
    with patch.object(starts, "waits", lambda session: False):
        yield


@mutation("outages")
def holder_leaves_while_work_comes() -> Iterator[None]:
    release = holder._release

    def hasty(step: Step, event: Released) -> None:
        release(step, event.model_copy(update={"work_seq": step.session.work_seq}))

    with patch.object(holder, "_release", hasty):
        yield


@mutation("wanderers")
def chosen_model_does_not_get_the_seat() -> Iterator[None]:
    choose = starts.choose

    def polite(step: Step, event: ModelChosen) -> None:
        with patch.object(starts, "empty_seat", lambda step: None):
            choose(step, event)

    with patch.object(starts, "choose", polite):
        yield
