"""Who may use a model's environments: slots that are leased, and the queue before them. Sans-I/O.

One small record per model, changed by one conditional write at a time, so that no two listeners get the same
place. What it says is about money and order; who may speak is decided by the seat alone.
"""

from collections.abc import Mapping

from session.record import Record


class Slot(Record):
    """One environment's work for one session. `epoch`: of the seat that it was leased for."""

    epoch: int
    since: float
    expires: float


class Waiting(Record):
    session_id: str
    since: float
    seen: float  # when its listener was last heard


class House(Record):
    """What is known of a model's environments, and who waits for one."""

    model_name: str
    rev: int = 0
    seen: float = 0.0  # when an environment was last awake
    starts: tuple[float, ...] = ()  # seconds of the last real cold starts
    held: tuple[float, ...] = ()  # seconds that the last slots were held
    slots: Mapping[str, Slot] = {}  # by session id
    queue: tuple[Waiting, ...] = ()


class Place(Record):
    """`place` None: the queue is full as well."""

    place: int | None
    eta_s: float | None


def ask(house: House, session_id: str, epoch: int, now: float, capacity: int) -> tuple[House, Place | None]:
    """A slot for this epoch (None), or a place in the queue. Asking again keeps the place and the slot."""
    raise NotImplementedError


def hold(house: House, session_id: str, epoch: int, now: float) -> House:
    """Renews the lease. A holder that runs has a slot, whatever the count says: it is a fact."""
    raise NotImplementedError


def leave(house: House, session_id: str, epoch: int, now: float) -> House:
    """Gives the slot back if it is still this epoch's, and remembers how long it was held."""
    raise NotImplementedError


def give_up(house: House, session_id: str) -> House:
    """Leaves the queue."""
    raise NotImplementedError


def call_next(house: House, now: float) -> tuple[House, str | None]:
    """The session at the head of the queue, which gets a slot (epoch 0 until it is held)."""
    raise NotImplementedError


def note_start(house: House, seconds: float, now: float) -> House:
    """A real cold start took so long."""
    raise NotImplementedError


def note_awake(house: House, now: float) -> House:
    raise NotImplementedError


def typical_start_s(house: House) -> float | None:
    """The median of the last real starts; None if there was none."""
    raise NotImplementedError
