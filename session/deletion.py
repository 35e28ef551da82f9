"""Deleting a session: nothing of it is left, and nothing can bring it back.

Every write is conditional on the record's `rev` or on the seat's epoch, and both have moved on.
"""

from session.actions import Erase
from session.errors import Refusal
from session.events import SessionDeleted
from session.inputs import Called, Deleted, Disconnected, HouseFull, InvokeFailed, ListenerInput, Rested
from session.record import Seat, Session
from session.step import SeatLost, Step


def delete(step: Step) -> None:
    """Wipes the record at once; the host erases the rest, and may be told to do so again."""
    session = step.session
    if not session.deleted:
        step.session = Session(
            session_id=session.session_id,
            resume_hash="",  # fits no key
            world=session.world,
            language=session.language,
            subject=session.subject,
            ticket=session.ticket,  # its holder books what it has spent
            payer=session.payer,
            deleted=True,
            model_name=session.model_name,
            created=session.created,
            expires=session.expires,
            rev=session.rev,
            connection_id=session.connection_id,
            seat=Seat(epoch=session.seat.epoch + 1),
        )
    step.actions.append(Erase())  # before the listener is told so
    step.post(SessionDeleted(session_id=session.session_id))


def refuse(step: Step, event: ListenerInput) -> None:
    """What a deleted session answers: it is as good as gone. Late news from the platform means nothing."""
    match event:
        case Deleted():
            delete(step)
        case Called():
            raise SeatLost("the session was deleted")
        case Disconnected() | InvokeFailed() | HouseFull() | Rested():
            pass
        case _:
            raise Refusal("unknown_session")
