"""Lambda's queue of asynchronous invokes, without I/O: the clock (seconds) and the request ids are passed in.

    accept ─► waiting ─ due ─► Dispatch ─► finished ─► (forgotten)
                 ▲       └───► Discard          ├────► Discard
                 ├───────────── throttled       │
                 └───────────── failed, with retries left

Source of the rules: Lambda developer guide, "How Lambda handles errors and retries with asynchronous
invocation". An event that finds no free environment tries again after 1 s, doubling up to 5 min; a function
error is retried after 1 min, then 2 min; nothing starts once an event is older than its maximum age. Age
never interrupts a running invoke.
"""

from dataclasses import dataclass
from enum import StrEnum

from local.lambda_service.result import InvokeResult
from local.lambda_service.settings import QueueSettings


class Condition(StrEnum):
    """Why an event was given up, in the words of the destination record."""

    RETRIES_EXHAUSTED = "RetriesExhausted"
    EVENT_AGE_EXCEEDED = "EventAgeExceeded"


@dataclass(frozen=True, slots=True)
class Dispatch:
    """Start this invoke now, in one of the environments that were said to be free."""

    request_id: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Discard:
    """Give this event up. `attempts` counts invokes; `result` is that of the last try, None if throttled."""

    request_id: str
    payload: bytes
    condition: Condition
    attempts: int
    result: InvokeResult | None


@dataclass(slots=True)
class _Event:
    request_id: str
    payload: bytes
    expires_at: float
    due_at: float
    attempts: int = 0
    throttles: int = 0
    result: InvokeResult | None = None

    def discard(self, condition: Condition) -> Discard:
        return Discard(self.request_id, self.payload, condition, self.attempts, self.result)


class AsyncQueue:
    """One function's events. Not thread-safe."""

    def __init__(
        self, settings: QueueSettings, *, maximum_event_age_s: float, maximum_retry_attempts: int
    ) -> None:
        self._settings = settings
        self._maximum_age = maximum_event_age_s
        self._maximum_retries = maximum_retry_attempts
        self._waiting: dict[str, _Event] = {}
        self._running: dict[str, _Event] = {}

    def accept(self, request_id: str, payload: bytes, *, now: float) -> None:
        self._waiting[request_id] = _Event(request_id, payload, now + self._maximum_age, due_at=now)

    def next_due(self) -> float | None:
        """When `due` has something to do next, or None while nothing waits."""
        return min((event.due_at for event in self._waiting.values()), default=None)

    def due(self, *, now: float, free: int) -> list[Dispatch | Discard]:
        """What to do now, with `free` environments for it. Events due together go in order of arrival."""
        actions: list[Dispatch | Discard] = []
        for event in [event for event in self._waiting.values() if event.due_at <= now]:
            if now >= event.expires_at:
                del self._waiting[event.request_id]
                actions.append(event.discard(Condition.EVENT_AGE_EXCEEDED))
            elif free:
                free -= 1
                event.attempts += 1
                self._running[event.request_id] = self._waiting.pop(event.request_id)
                actions.append(Dispatch(event.request_id, event.payload))
            else:
                wait = self._settings.throttle_backoff_s * 2**event.throttles
                event.throttles += 1
                event.result = None
                self._wait(event, now + min(wait, self._settings.throttle_backoff_max_s))
        return actions

    def finished(self, request_id: str, result: InvokeResult, *, now: float) -> Discard | None:
        """The outcome of a dispatched invoke: a failure waits for its retry or is given up."""
        event = self._running.pop(request_id)
        event.result = result
        if not result.failed:
            return None
        if event.attempts > self._maximum_retries:
            return event.discard(Condition.RETRIES_EXHAUSTED)
        self._wait(event, now + self._settings.retry_waits_s[event.attempts - 1])
        return None

    def _wait(self, event: _Event, until: float) -> None:
        event.due_at = min(until, event.expires_at)
        self._waiting[event.request_id] = event
