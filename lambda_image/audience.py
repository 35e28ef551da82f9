"""Whether the listener is still there, by this environment's own clock wherever it can tell."""

from lambda_image.tasks import Tasks
from session.limits import limits
from session.record import Session


class Audience:
    """One session's listener, as its holder sees it.

    The record's times were written elsewhere, and clocks differ by a minute. Whoever was here when the holder
    looked before has been away since then at most.
    """

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks
        self._seen = False
        self._away_since: float | None = None

    def gone(self, session: Session, now: float) -> bool:
        """Whether nobody has listened for longer than the grace. `now`: epoch seconds."""
        if session.connection_id is not None:
            self._seen, self._away_since = True, None
            return False
        if self._away_since is None:
            self._away_since = self._tasks.monotonic()
        away_s = self._tasks.monotonic() - self._away_since
        return away_s > limits().grace_s or (not self._seen and session.deserted(now, limits().grace_s))
