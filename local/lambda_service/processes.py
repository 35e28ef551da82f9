"""One environment's processes: all in one session, stopped, continued and killed together.

The emulator puts the runtime into a process group of its own, so a signal to one group would miss it.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterable

import psutil

_STOPPED = (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP)


class Session:
    """The processes in the session that process `leader` was started to lead, and all its descendants."""

    def __init__(self, leader: int) -> None:
        self._id = leader
        self._leader: psutil.Process | None = None
        with contextlib.suppress(psutil.NoSuchProcess):
            self._leader = psutil.Process(leader)

    def members(self) -> dict[int, str]:
        """Process ids and psutil's statuses, without the ended ones that only wait to be reaped."""
        pids: set[int] = set()
        if self._leader and self._leader.is_running():
            with contextlib.suppress(psutil.NoSuchProcess):
                pids = {child.pid for child in self._leader.children(recursive=True)}
        elif psutil.pid_exists(self._id):
            return {}  # a stranger has the id, and the kernel gives it away only once the session is empty
        pids.update(pid for pid in psutil.pids() if _session_of(pid) == self._id)
        statuses = {pid: _status(pid) for pid in pids}
        return {pid: status for pid, status in statuses.items() if status != psutil.STATUS_ZOMBIE}

    async def freeze(self) -> None:
        """SIGSTOP every member, then wait until they have stopped and none was born meanwhile."""
        while moving := [pid for pid, status in self.members().items() if status not in _STOPPED]:
            _signal(moving, signal.SIGSTOP)
            await asyncio.sleep(0.001)

    def thaw(self) -> None:
        _signal(self.members(), signal.SIGCONT)

    async def kill(self, *, within_s: float) -> None:
        """SIGKILL every member, stopped or not, and wait until none is left.

        Raises `TimeoutError` naming the survivors: uninterruptible sleep outlives a SIGKILL.
        """
        try:
            async with asyncio.timeout(within_s):
                while members := self.members():
                    _signal(members, signal.SIGKILL)
                    await asyncio.sleep(0.005)
        except TimeoutError:
            raise TimeoutError(
                f"processes {sorted(self.members())} still live {within_s} s after SIGKILL"
            ) from None


def _session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:  # gone, or not ours to ask about
        return None


def _status(pid: int) -> str:
    try:
        return str(psutil.Process(pid).status())
    except psutil.NoSuchProcess:
        return psutil.STATUS_ZOMBIE


def _signal(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
