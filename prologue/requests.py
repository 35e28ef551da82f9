"""What a listener's frames ask of a session: inputs for its rules, with what these can't look up."""

from collections.abc import Callable
from typing import assert_never

from prologue.greeting import MatcherOf
from session.errors import Refusal
from session.events import Saved
from session.export import export
from session.inputs import (
    Answered,
    Deleted,
    ModelChosen,
    Paused,
    Pinged,
    Renamed,
    Retold,
    Said,
    Skipped,
    Stopped,
    Undone,
    Woken,
)
from session.limits import limits
from session.prices import prices
from session.record import Session
from session.requests import (
    Answer,
    Continue,
    Delete,
    Edit,
    Export,
    NotFaq,
    Pause,
    Ping,
    Rename,
    Retry,
    Say,
    Skip,
    Stop,
    StoryRequest,
    SwitchModel,
    Undo,
    Wake,
)
from session.runner import Runner


class Requests:
    """Args:
    seeds: gives a new seed at each call.
    memory_mb, model_memory_mb: of this function and of a model's, for what the FAQ saves.
    """

    def __init__(
        self,
        runner: Runner,
        *,
        matcher: MatcherOf,
        seeds: Callable[[], int],
        memory_mb: int,
        model_memory_mb: int,
    ) -> None:
        self._runner = runner
        self._matcher = matcher
        self._seeds = seeds
        self._memory_mb = memory_mb
        self._model_memory_mb = model_memory_mb

    def handle(self, session: Session, frame: StoryRequest) -> None:
        """Raises Refusal."""
        session_id, apply = session.session_id, self._runner.apply
        match frame:
            case Answer(question_id=question_id, choice=choice, text=text):
                apply(session_id, Answered(question_id=question_id, choice=choice, text=text))
            case Skip():
                apply(session_id, Skipped(question_id=frame.question_id))
            case Pause():
                apply(session_id, Paused(paused=frame.paused))
            case Say():
                apply(session_id, self._said(session, frame))
            case Stop(turn_id=turn_id, seen=seen, version=version):
                stopped = apply(session_id, Stopped(turn_id=turn_id, seen=seen, version=version))
                if session.queued_at and not stopped.queued_at:  # nobody is to wait behind an empty place
                    self._runner.capacity.give_up(session.model_name, session_id)
            case Continue() | Retry() | Edit() | NotFaq():
                seed = self._seeds()
                self._runner.apply_made(session_id, lambda now: self._retold(now, frame, seed))
            case Undo():
                self._runner.apply_made(session_id, lambda now: self._undone(now, frame))
            case SwitchModel():
                self._choose(session, frame.name)
            case Rename():
                apply(session_id, Renamed(title=frame.title))
            case Export():
                self._export(session, frame)
            case Delete():
                apply(session_id, Deleted())
                self._runner.capacity.give_up(session.model_name, session_id)
            case Wake():
                apply(session_id, Woken())
            case Ping():
                apply(session_id, Pinged(turn_id=frame.turn_id))
            case _:
                assert_never(frame)

    def _said(self, session: Session, frame: Say) -> Said:
        answer, saved = None, None
        if 0 < len(frame.text) <= limits().faq_chars:
            began = self._runner.clock()
            matcher = self._matcher(session.world, session.language)
            found = matcher.match(frame.text) if matcher else None
            if found is not None:
                answer, saved = found.answer, self._saved(session, self._runner.clock() - began)
        return Said(turn_id=frame.turn_id, text=frame.text, seed=self._seeds(), faq=answer, saved=saved)

    def _saved(self, session: Session, search_s: float) -> Saved | None:
        """By an answer from the FAQ; None while the model has not told what a reply takes."""
        done = session.last_done
        if done is None or (done.metrics is None and done.saved is None):
            return None
        reply_s = done.metrics.total_s if done.metrics else done.saved.seconds if done.saved else 0.0
        return prices().saved(
            reply_s=reply_s,
            memory_mb=self._model_memory_mb,
            search_s=max(0.0, search_s),
            search_memory_mb=self._memory_mb,
        )

    def _retold(self, session: Session, frame: Continue | Retry | Edit | NotFaq, seed: int) -> Retold:
        turns = self._runner.store.turns(session.session_id, self._runner.clock())
        wanted = (frame.turn_id, frame.version)
        return Retold(
            kind=frame.action,
            turn_id=frame.turn_id,
            version=frame.version,
            seed=seed,
            turn=next((turn for turn in turns if (turn.turn_id, turn.version) == wanted), None),
            text=frame.text if isinstance(frame, Edit) else None,
        )

    def _undone(self, session: Session, frame: Undo) -> Undone:
        last = session.last
        if last is None or last.turn_id != frame.turn_id:
            return Undone(turn_id=frame.turn_id, previous=None)
        turns = self._runner.store.turns(session.session_id, self._runner.clock())
        before = (turn for turn in turns if turn.number < last.number)
        newest = max(before, key=lambda turn: (turn.number, turn.version), default=None)
        return Undone(turn_id=frame.turn_id, previous=newest)

    def _choose(self, session: Session, name: str) -> None:
        if name not in self._runner.models:
            known = ", ".join(self._runner.models)
            raise Refusal("unknown_model", f"There is no model {name!r}; there are: {known}.")
        state, typical_s = self._runner.capacity.outlook(name)
        self._runner.apply(session.session_id, ModelChosen(name=name, state=state, typical_s=typical_s))
        if name != session.model_name:  # or its old house would call it
            self._runner.capacity.give_up(session.model_name, session.session_id)

    def _export(self, session: Session, frame: Export) -> None:
        turns = self._runner.store.turns(session.session_id, self._runner.clock())
        title = self._runner.world(session).title
        for part in export(session, turns, title=title, format=frame.format):
            if not self._runner.post(session, part):
                return
