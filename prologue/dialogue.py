"""The prologue's player: lines, questions and what is told meanwhile, as a pure function of what happened.

No I/O and no clock of its own. The state is only a log of what was told and the answers, so that any
function can go on from it, and the whole transcript can be told again from the world's text.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from prologue import pacing
from session.errors import Refusal
from session.events import (
    ChoiceView,
    PrologueDone,
    PrologueEntry,
    PrologueFragment,
    PrologueLine,
    PrologueQuestion,
)
from session.limits import limits

if TYPE_CHECKING:
    from prologue.schema import Line, Question, World

SKIPPED = ""


class DialogueState(BaseModel):
    """What was told (`log`, in order: its index is the entry's `seq`) and what was answered.

    Log entries: `opening:I`, `question:ID`, `reply:ID`, `fragment:I:PROGRESS`, `lull:I:PROGRESS`, `cue:NAME`,
    `done`. Nothing that was told is ever taken back or changed.
    """

    model_config = ConfigDict(frozen=True, defer_build=True)

    log: tuple[str, ...] = ()
    answers: Mapping[str, str] = {}  # question id -> story fact; SKIPPED if it was skipped
    choices: Mapping[str, str] = {}  # question id -> choice id, "" for free text
    paused: bool = False
    fragment_at: float = 0.0  # when the last fragment or lull was told

    @property
    def finished(self) -> bool:
        return "done" in self.log

    @property
    def is_full(self) -> bool:
        """Whether only answers add to the log from now on: the session's item stays small for ever."""
        return len(self.log) >= limits().prologue_entries

    def tell(self, *refs: str) -> "DialogueState":
        return self.model_copy(update={"log": (*self.log, *refs)})

    def count(self, kind: str) -> int:
        """How many entries of a kind were told."""
        return sum(ref.startswith(f"{kind}:") for ref in self.log)

    def facts(self) -> dict[str, str]:
        """The answers that were given: question id -> story fact."""
        return {question: fact for question, fact in self.answers.items() if fact != SKIPPED}


def open_question(state: DialogueState, world: "World") -> "Question | None":
    """The question that waits for its answer, if any."""
    if state.finished:
        return None
    return next((q for q in world.questions if q.id not in state.answers), None)


def begin(world: "World") -> DialogueState:
    """The opening lines and the first question."""
    opening = (f"opening:{i}" for i in range(len(world.opening)))
    return _ask_next(DialogueState().tell(*opening), world)


def answer(
    state: DialogueState, world: "World", question_id: str, *, choice: str | None, text: str | None
) -> DialogueState:
    """Takes the answer to the open question.

    Raises:
        Refusal: prologue_over, unknown_question, already_answered, unknown_choice, empty_text, text_too_long.
    """
    fact, choice_id = _fact(state, world, question_id, choice, text)
    answered = state.model_copy(
        update={
            "answers": {**state.answers, question_id: fact},
            "choices": {**state.choices, question_id: choice_id},
        }
    )
    return _ask_next(answered.tell(f"reply:{question_id}"), world)


def is_repeat(state: DialogueState, question_id: str, *, choice: str | None, text: str | None) -> bool:
    """Whether this very answer was taken before (a frame that was sent twice)."""
    if state.answers.get(question_id, SKIPPED) == SKIPPED:
        return False
    if choice is not None:
        return state.choices.get(question_id) == choice
    return text is not None and state.answers[question_id] == " ".join(text.split())


def was_skipped(state: DialogueState, question_id: str | None) -> bool:
    """Whether this very question was skipped before, or all that were left (a frame that was sent twice)."""
    if question_id is None:
        return state.finished and SKIPPED in state.answers.values()
    return state.answers.get(question_id) == SKIPPED


def skip(state: DialogueState, world: "World", question_id: str | None) -> DialogueState:
    """Skips one question, or without an id all that are left. Raises Refusal (unknown_question)."""
    question = open_question(state, world)
    if question is None:
        raise Refusal("prologue_over")
    if question_id is None:
        left = {q.id: SKIPPED for q in world.questions if q.id not in state.answers}
        return _ask_next(state.model_copy(update={"answers": {**state.answers, **left}}), world)
    if question_id != question.id:
        raise Refusal("unknown_question")
    skipped = state.model_copy(update={"answers": {**state.answers, question_id: SKIPPED}})
    return _ask_next(skipped.tell(f"reply:{question_id}"), world)


def progress(
    state: DialogueState, world: "World", share: float, now: float, eta_s: float | None = None
) -> DialogueState:
    """Tells the next piece of the countdown when it is due, and lulls when there is none left.

    After the curtain has risen once, a later start has lulls only: the countdown's story was told.

    Args:
        share: of the weights that are loaded, 0 to 1.
        now: seconds.
        eta_s: estimated seconds until the model is awake; None or 0 if nobody knows.
    """
    if state.paused or state.is_full:
        return state
    waited, told = now - state.fragment_at, state.count("fragment")
    left = 0 if "cue:ready" in state.log or "cue:ready_early" in state.log else len(world.countdown) - told
    if left > 0:
        behind = share * len(world.countdown) >= told
        due = not told or waited >= pacing.fragment_gap_s(left, waited, eta_s, behind=behind)
        ref = f"fragment:{told}"
    else:
        due = waited >= pacing.lull_gap_s(_lulls_in_a_row(state))
        ref = f"lull:{state.count('lull') % len(world.lulls)}"
    if not due:
        return state
    return state.tell(f"{ref}:{share:.3f}").model_copy(update={"fragment_at": now})


def _lulls_in_a_row(state: DialogueState) -> int:
    """Since the last fragment or cue."""
    others = [i for i, ref in enumerate(state.log) if ref.startswith(("fragment:", "cue:"))]
    return sum(ref.startswith("lull:") for ref in state.log[others[-1] if others else 0 :])


def cue(state: DialogueState, name: str) -> DialogueState:
    """Tells one of the world's cues: `ready`, `ready_early`, `failed`, `retrying`.

    The open question stays open. A failure after the first one has words of its own.
    """
    if state.is_full:
        return state
    if name == "failed" and "cue:failed" in state.log:
        name = "failed_again"
    return state.tell(f"cue:{name}")


def entries(state: DialogueState, world: "World", since: int = 0) -> list[PrologueEntry]:
    """The wire entries from `seq` = `since` on."""
    return [_entry(seq, ref, state, world) for seq, ref in enumerate(state.log) if seq >= since]


def _ask_next(state: DialogueState, world: "World") -> DialogueState:
    question = open_question(state, world)
    return state.tell(f"question:{question.id}" if question else "done")


def _fact(
    state: DialogueState, world: "World", question_id: str, choice: str | None, text: str | None
) -> tuple[str, str]:
    question = next((q for q in world.questions if q.id == question_id), None)
    if question is None:
        raise Refusal("unknown_question")
    if question_id in state.answers:
        raise Refusal("already_answered")
    asked = open_question(state, world)
    if asked is None or asked.id != question_id:
        raise Refusal("unknown_question")
    if choice is not None:
        chosen = next((c for c in question.choices if c.id == choice), None)
        if chosen is None:
            raise Refusal("unknown_choice")
        return chosen.fact, chosen.id
    if text is None or not question.free_text:
        raise Refusal("unknown_choice")
    fact = " ".join(text.split())
    if not fact:
        raise Refusal("empty_text")
    if len(fact) > limits().answer_chars:
        raise Refusal("text_too_long", f"An answer has at most {limits().answer_chars} characters.")
    return fact, ""


def _entry(seq: int, ref: str, state: DialogueState, world: "World") -> PrologueEntry:
    kind, _, rest = ref.partition(":")
    match kind:
        case "opening":
            return _line(seq, world.opening[int(rest)])
        case "cue":
            return _line(seq, _cues(world)[rest])
        case "question":
            question = _question(world, rest)
            return PrologueQuestion(
                seq=seq,
                id=question.id,
                speaker=question.speaker,
                text=question.text,
                choices=[ChoiceView(id=c.id, label=c.label) for c in question.choices],
                free_text=question.free_text,
                placeholder=question.placeholder,
            )
        case "reply":
            question = _question(world, rest)
            return PrologueLine(seq=seq, speaker=question.speaker, text=_reply(question, state))
        case "fragment" | "lull":
            index, _, share = rest.partition(":")
            piece = (world.countdown if kind == "fragment" else world.lulls)[int(index)]
            return PrologueFragment(
                seq=seq, speaker=piece.speaker or "", text=piece.text, progress=float(share)
            )
    return PrologueDone(seq=seq, answers=state.facts())


def _line(seq: int, line: "Line") -> PrologueLine:
    return PrologueLine(seq=seq, speaker=line.speaker, text=line.text, pause_ms=line.pause_ms)


def _cues(world: "World") -> dict[str, "Line"]:
    return {
        "ready": world.ready,
        "ready_early": world.ready_early,
        "failed": world.failed,
        "retrying": world.retrying,
        "failed_again": world.failed_again,
    }


def _reply(question: "Question", state: DialogueState) -> str:
    if state.answers[question.id] == SKIPPED:
        return question.skip_reply
    chosen = next((c for c in question.choices if c.id == state.choices.get(question.id)), None)
    return chosen.reply if chosen else question.free_reply


def _question(world: "World", question_id: str) -> "Question":
    return next(q for q in world.questions if q.id == question_id)
