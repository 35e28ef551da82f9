"""Who may use a model's environments: slots that are leased, and the queue before them. Sans-I/O.

One small record per model, changed by one conditional write at a time, so that no two listeners get the same
place. What it says is about money and order; who may speak is decided by the seat alone.
"""

from collections.abc import Mapping
from statistics import median

from session.limits import limits
from session.record import Record


class Slot(Record):
    """One environment's work for one session. `epoch`: of the seat that it was leased for."""

    epoch: int
    since: float
    expires: float
    held: bool = False  # a holder was there: how long it takes is worth measuring


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
    """`place` counts from 1; None: the queue is full as well. `eta_s` None: nobody has finished here yet."""

    place: int | None
    eta_s: float | None


def ask(house: House, session_id: str, epoch: int, now: float, capacity: int) -> tuple[House, Place | None]:
    """A slot for this epoch (None), or a place in the queue. Asking again keeps the place and the slot.

    A free slot belongs to whoever has waited longest and is still heard, even while he does not ask. An epoch
    later than the slot's takes it over: the session has one environment, and it is the newer one.
    """
    house = _living(house, now)
    own = house.slots.get(session_id)
    if own is not None:
        return (house if epoch <= own.epoch else _with_slot(house, session_id, _leased(epoch, now))), None
    ahead = next((i for i, w in enumerate(house.queue) if w.session_id == session_id), len(house.queue))
    if ahead < capacity - len(house.slots):
        return _with_slot(house, session_id, _leased(epoch, now)), None
    if ahead == len(house.queue) >= limits().queue_places:
        return house, Place(place=None, eta_s=None)
    waiting = Waiting(session_id=session_id, since=now, seen=now)
    if ahead < len(house.queue):
        known = house.queue[ahead]
        waiting = known.model_copy(update={"seen": max(known.seen, now)})
    queue = (*house.queue[:ahead], waiting, *house.queue[ahead + 1 :])
    eta_s = _eta_s(house, ahead, now, capacity)
    return house.model_copy(update={"queue": queue}), Place(place=ahead + 1, eta_s=eta_s)


def hold(house: House, session_id: str, epoch: int, now: float) -> House:
    """Renews the lease. A holder that runs has a slot, whatever the count says: it is a fact. One whose
    session has gone on to a later epoch changes nothing."""
    own = house.slots.get(session_id, _leased(epoch, now))
    house = _living(house, now)
    if epoch < own.epoch:
        return house
    handed_on = own.epoch == 0  # by a holder that is already there
    since = own.since if handed_on or own.epoch == epoch else now
    expires = max(own.expires, now + limits().slot_s)
    return _with_slot(house, session_id, Slot(epoch=epoch, since=since, expires=expires, held=True))


def leave(house: House, session_id: str, epoch: int, now: float) -> House:
    """Gives the slot back if it is still this epoch's, and remembers how long it was held. A slot that no
    holder came for (its invoke was refused) measures nothing."""
    own = house.slots.get(session_id)
    if own is None or own.epoch != epoch:
        return house
    measured = (*house.held, max(0.0, now - own.since))[-limits().estimates :]
    slots = {known: slot for known, slot in house.slots.items() if known != session_id}
    return house.model_copy(update={"slots": slots, "held": measured if own.held else house.held})


def give_up(house: House, session_id: str) -> House:
    """Leaves the queue."""
    queue = tuple(waiting for waiting in house.queue if waiting.session_id != session_id)
    return house if len(queue) == len(house.queue) else house.model_copy(update={"queue": queue})


def call_next(house: House, now: float, capacity: int) -> tuple[House, str | None]:
    """The session at the head of the queue, which gets a slot (epoch 0 until it is held). None: nobody waits,
    or every slot is taken."""
    house = _living(house, now)
    if not house.queue or len(house.slots) >= capacity:
        return house, None
    session_id = house.queue[0].session_id
    return _with_slot(house, session_id, _leased(0, now)), session_id


def note_start(house: House, seconds: float, now: float) -> House:
    """A real cold start took so long."""
    starts = (*house.starts, seconds)[-limits().estimates :]
    return note_awake(house.model_copy(update={"starts": starts}), now)


def note_awake(house: House, now: float) -> House:
    """An environment is awake. Never goes back: clocks differ between functions."""
    return house if now <= house.seen else house.model_copy(update={"seen": now})


def typical_start_s(house: House) -> float | None:
    """The median of the last real starts; None if there was none."""
    return median(house.starts) if house.starts else None


def _leased(epoch: int, now: float) -> Slot:
    return Slot(epoch=epoch, since=now, expires=now + limits().slot_s)


def _with_slot(house: House, session_id: str, slot: Slot) -> House:
    """Whoever has a slot waits no more."""
    return give_up(house.model_copy(update={"slots": {**house.slots, session_id: slot}}), session_id)


def _living(house: House, now: float) -> House:
    """Without the leases that ran out, and without those who have not been heard for too long."""
    slots = {session_id: slot for session_id, slot in house.slots.items() if slot.expires > now}
    queue = tuple(waiting for waiting in house.queue if now - waiting.seen <= limits().queue_s)
    if len(slots) == len(house.slots) and len(queue) == len(house.queue):
        return house
    return house.model_copy(update={"slots": slots, "queue": queue})


def _eta_s(house: House, ahead: int, now: float, capacity: int) -> float | None:
    """When the slot after those for everybody ahead comes free, if each is held for the median time.

    Slots come free in the order in which they were taken; then the next round begins.
    """
    if not house.held or capacity < 1:
        return None
    typical = median(house.held)
    left = sorted(max(0.0, slot.since + typical - now) for slot in house.slots.values())
    rounds, nth = divmod(ahead, capacity)
    free = capacity - len(left)
    return rounds * typical + (left[nth - free] if nth >= free else 0.0)
