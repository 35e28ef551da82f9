"""Bugs to plant, one at a time: each is a mistake that this design is there to exclude.

A mutation patches the real modules (of the store: the stand-in that keeps its promises) while it is entered.
"""

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from unittest.mock import patch

from lambda_image import narrator, telling
from lambda_image.audience import Audience
from lambda_image.delivery import Delivery
from lambda_image.holding import Holding
from session import holder, retelling, saying, settling, starts, turns
from session.capacity import Capacity
from session.events import TurnDelta
from session.inputs import Claimed, Disconnected, Retold
from session.record import Phase, Session
from session.step import SeatLost, Step
from tests.fakes import MemoryStore

Planted = Callable[[], AbstractContextManager[None]]
MUTATIONS: dict[str, Planted] = {}


def mutation(plant: Callable[[], Iterator[None]]) -> Planted:
    planted = contextmanager(plant)
    MUTATIONS[plant.__name__] = planted
    return planted


@mutation
def delta_posted_before_it_is_stored() -> Iterator[None]:
    store = Delivery._store

    def post_first(self: Delivery, text: str) -> None:
        turn, connection_id = self._turn, self._session.connection_id
        if connection_id:
            frame = TurnDelta(turn_id=turn.turn_id, version=turn.version, offset=self._stored, text=text)
            self._holding.runner.poster.post(connection_id, frame)
        store(self, text)

    with patch.object(Delivery, "_store", post_first):
        yield


@mutation
def holder_speaks_with_a_spent_epoch() -> Iterator[None]:
    apply = holder.apply

    def any_epoch(step: Step, event: Any) -> None:
        apply(step, dataclasses.replace(event, epoch=step.session.seat.epoch))

    with patch.object(holder, "apply", any_epoch):
        yield


@mutation
def two_holders_claim_one_epoch() -> Iterator[None]:
    apply = holder.apply

    def any_holder(step: Step, event: Any) -> None:
        if isinstance(event, Claimed) and event.epoch == step.session.seat.epoch:
            step.set_seat(holder="")
        apply(step, event)

    with patch.object(holder, "apply", any_holder):
        yield


@mutation
def append_ignores_the_offset() -> Iterator[None]:
    append = MemoryStore.append_delta

    def anywhere(self: MemoryStore, session: Session, *, offset: int, **arguments: Any) -> Session:
        live = self.heads[session.session_id].live
        return append(self, session, offset=live.length if live else offset, **arguments)

    with patch.object(MemoryStore, "append_delta", anywhere):
        yield


@mutation
def lost_seat_is_not_noticed() -> Iterator[None]:
    append = Holding.append

    def carry_on(self: Holding, session: Session, offset: int, text: str) -> Session:
        try:
            return append(self, session, offset, text)
        except SeatLost:
            return session

    with patch.object(Holding, "append", carry_on):
        yield


@mutation
def stop_flag_is_ignored() -> Iterator[None]:
    append, look = Holding.append, Holding.look

    def deaf(session: Session) -> Session:
        return session.model_copy(update={"stop": False})

    with (
        patch.object(Holding, "append", lambda self, *arguments: deaf(append(self, *arguments))),
        patch.object(Holding, "look", lambda self: deaf(look(self))),
    ):
        yield


@mutation
def late_disconnect_clears_the_new_connection() -> Iterator[None]:
    def any_connection(step: Step, event: Disconnected) -> None:
        step.set(connection_id=None, gone_at=step.now)

    with patch.object(settling, "disconnected", any_connection):
        yield


@mutation
def opening_begins_again() -> Iterator[None]:
    begin = starts.begin_opening

    def again(step: Step, seed: int) -> None:
        begin(step, seed)
        step.set(phase=Phase.AWAITING)

    with patch.object(starts, "begin_opening", again):
        yield


@mutation
def dead_holder_is_never_replaced() -> Iterator[None]:
    settle = settling.settle

    def trusting(step: Step) -> None:
        if not step.session.seat.holder:
            settle(step)

    with patch.object(settling, "settle", trusting):
        yield


@mutation
def repeated_retry_makes_another_version() -> Iterator[None]:
    retell = retelling.retell

    def eager(step: Step, event: Retold) -> None:
        last = step.session.last
        if last is not None and step.session.live is None and last.turn_id == event.turn_id:
            event = dataclasses.replace(event, version=last.version)
        retell(step, event)

    with patch.object(retelling, "retell", eager):
        yield


@mutation
def repeated_say_is_told_anew() -> Iterator[None]:
    close = turns.close

    def forgetful(step: Step, turn: Any, done: Any) -> None:
        close(step, turn, done)
        step.set(recent=())

    with patch.object(turns, "close", forgetful):
        yield


@mutation
def slot_is_never_given_back() -> Iterator[None]:
    with patch.object(Capacity, "hand_over", lambda *_, **__: None):
        yield


@mutation
def turn_ends_twice() -> Iterator[None]:
    finish = turns.finish

    def keep(step: Step, done: Any) -> None:
        live = step.session.live
        finish(step, done)
        if done.status == "incomplete":
            step.set(live=live)

    with patch.object(turns, "finish", keep):
        yield


@mutation
def undo_leaves_the_turn_in_the_table() -> Iterator[None]:
    undo = retelling.undo

    def superficial(step: Step, event: Any) -> None:
        undo(step, event)
        step.remove.clear()

    with patch.object(retelling, "undo", superficial):
        yield


@mutation
def commits_overwrite_each_other() -> Iterator[None]:
    commit = MemoryStore.commit

    def careless(self: MemoryStore, session: Session, *arguments: Any) -> Session:
        known = self.heads.get(session.session_id)
        rev = known.rev if known else 0
        return commit(self, session.model_copy(update={"rev": rev}), *arguments)

    with patch.object(MemoryStore, "commit", careless):
        yield


@mutation
def erasing_leaves_the_turns() -> Iterator[None]:
    def head_only(self: MemoryStore, session: Session) -> None:
        self.heads.pop(session.session_id, None)

    with patch.object(MemoryStore, "erase", head_only):
        yield


@mutation
def grace_never_ends() -> Iterator[None]:
    with patch.object(Audience, "gone", lambda *_: False):
        yield


@mutation
def ping_does_not_tell_again() -> Iterator[None]:
    with patch.object(saying, "tell_again", lambda *_: None):
        yield


@mutation
def faq_enters_the_prompt() -> Iterator[None]:
    prompt = narrator.prompt

    def everything(session: Session, archived: Any, *arguments: Any) -> Any:
        told = [turn.model_copy(update={"source": "model"}) for turn in archived]
        return prompt(session, told, *arguments)

    with patch.object(telling, "prompt", everything):
        yield


@mutation
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


@mutation
def waiting_work_is_not_settled() -> Iterator[None]:
    with patch.object(starts, "waits", lambda session: False):
        yield
