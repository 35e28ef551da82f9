"""Bugs in the two functions: see `tests.sim.mutations`."""

import dataclasses
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

from lambda_image import narrator, telling
from lambda_image.audience import Audience
from lambda_image.delivery import Delivery
from lambda_image.holding import Holding
from lambda_image.meter import Meter
from prologue.greeting import Greeting, Visitor
from session.capacity import Capacity
from session.caps import Ledger
from session.events import TurnDelta
from session.inputs import Input, Loading
from session.limits import limits
from session.record import Session
from session.requests import Hello
from session.step import SeatLost
from tests.sim.mutations import mutation


@mutation()
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


@mutation()
def lost_seat_is_not_noticed() -> Iterator[None]:
    append = Holding.append

    def carry_on(self: Holding, session: Session, offset: int, text: str) -> Session:
        try:
            return append(self, session, offset, text)
        except SeatLost:
            return session

    with patch.object(Holding, "append", carry_on):
        yield


@mutation()
def stop_flag_is_ignored() -> Iterator[None]:
    append, look = Holding.append, Holding.look

    def deaf(session: Session) -> Session:
        return session.model_copy(update={"stop": False})

    with (
        patch.object(Holding, "append", lambda self, *arguments: deaf(append(self, *arguments))),
        patch.object(Holding, "look", lambda self: deaf(look(self))),
    ):
        yield


@mutation()
def slot_is_never_given_back() -> Iterator[None]:
    with patch.object(Capacity, "hand_over", lambda *_, **__: None):
        yield


@mutation()
def grace_never_ends() -> Iterator[None]:
    with patch.object(Audience, "gone", lambda *_: False):
        yield


@mutation()
def faq_enters_the_prompt() -> Iterator[None]:
    prompt = narrator.prompt

    def everything(session: Session, archived: Any, *arguments: Any) -> Any:
        told = [turn.model_copy(update={"source": "model"}) for turn in archived]
        return prompt(session, told, *arguments)

    with patch.object(telling, "prompt", everything):
        yield


@mutation("refusals")
def refused_text_is_dropped() -> Iterator[None]:
    post = Delivery._post

    def forgetful(self: Delivery) -> None:
        due = self._post_due
        post(self)
        if self._post_due != due:  # it was refused
            self._unposted = ""

    with patch.object(Delivery, "_post", forgetful):
        yield


@mutation("wanderers")
def loading_goes_on_without_the_seat() -> Iterator[None]:
    apply = Holding.apply

    def carry_on(self: Holding, event: Input) -> Session:
        try:
            return apply(self, event)
        except SeatLost:
            if not isinstance(event, Loading):
                raise
            return self.runner.load(self.session_id)

    with patch.object(Holding, "apply", carry_on):
        yield


@mutation("slowness")
def reply_is_not_ended_at_the_deadline() -> Iterator[None]:
    patient = limits().model_copy(update={"deadline_s": -900.0})
    with patch.object(telling, "limits", lambda: patient):
        yield


@mutation("thrift")
def day_is_never_over() -> Iterator[None]:
    with patch.object(Ledger, "rest", lambda *_: None):
        yield


@mutation("thrift")
def model_seconds_are_not_booked() -> Iterator[None]:
    with patch.object(Meter, "book", lambda *_: None):
        yield


@mutation()
def keys_are_good_for_anybody() -> Iterator[None]:
    resume = Greeting._resume

    def trusting(self: Greeting, visitor: Visitor, hello: Hello, bound: str | None) -> Session:
        found = self._living(hello.session_id)
        owner = found.subject if found else None
        return resume(self, dataclasses.replace(visitor, subject=owner), hello, bound)

    with patch.object(Greeting, "_resume", trusting):
        yield
