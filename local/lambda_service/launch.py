"""`python launch.py PARENT [NAME=VALUE ...] COMMAND ...`: become COMMAND, to be killed when the parent dies.

PARENT is the parent's process id, or 0 for the leader of this session. Linux only. A stage that is killed
outright takes its environments with it, frozen ones too: the kernel's SIGKILL reaches a stopped process.
Imports the standard library only.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main(argv: list[str]) -> None:
    parent = int(argv[0]) or os.getsid(0)
    command = argv[1:]
    while (setting := command[0].partition("="))[0].isidentifier():
        os.environ[setting[0]] = setting[2]
        del command[0]
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:  # it died before the kernel was asked to watch it
        sys.exit(1)
    os.execv(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
