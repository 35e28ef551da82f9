"""The session's rules, sans-I/O: `receive(session, input, now, world) -> Outcome`.

No clock, socket, AWS call or randomness in here. The host loads the record, calls `receive`, stores the
outcome on the condition that nobody wrote in between (else it starts over), and only then acts. So every
step is atomic, and whatever was posted is in the table. `docs/protocol.md` has the state x action table.
"""

from typing import TYPE_CHECKING

from prologue import dialogue
from session import holder, listener, settling, starts
from session.inputs import HolderInput, Input
from session.record import Session
from session.step import Outcome, Step

if TYPE_CHECKING:
    from prologue.world import World


def receive(session: Session, event: Input, now: float, world: "World") -> Outcome:
    """Applies one input.

    Raises:
        Refusal: the listener asked for something that cannot be; the record stays as it is.
        SeatLost: a holder's epoch is no longer the seat's, or nothing waits for the holder that was called.
    """
    step = Step(session, now, world)
    if isinstance(event, HolderInput):
        holder.apply(step, event)
    else:
        listener.apply(step, event)
    return step.outcome()


def start(session: Session, resume_key: str, now: float, world: "World") -> Outcome:
    """A new session's first moment: greeting, opening lines, first question."""
    step = Step(session, now, world)
    step.post(settling.ready(session, resumed=False, resume_key=resume_key))
    step.tell(dialogue.begin(world))
    step.post_status()
    if world.wake == "hello":
        starts.call(step)
    return step.outcome()
