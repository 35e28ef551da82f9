"""The emulator's own log lines, made true and short; everything else passes unchanged.

START and REPORT get the caller's request id (the emulator invents one). REPORT follows END at once, so END is
dropped. REPORT's used memory is the configured one and its init duration not the runtime's: dropped too.
"""

import re

_START = re.compile(r"START RequestId: \S+ Version: \S+")
_END = re.compile(r"END RequestId: \S+")
_REPORT = re.compile(r"REPORT RequestId: .*\bDuration: (\S+ ms)\tBilled Duration: (\S+ ms)\t.*")
_RAPID = re.compile(r".*\] \(rapid\) (.*)")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def readable(line: str, request_id: str) -> str | None:
    """What to show of `line`, printed while `request_id` was served; None if it says nothing."""
    if not line.strip() or _END.fullmatch(line):
        return None
    if _START.fullmatch(line):
        return f"START RequestId: {request_id}"
    if report := _REPORT.fullmatch(line):
        return f"REPORT RequestId: {request_id} Duration: {report[1]} Billed Duration: {report[2]}"
    if rapid := _RAPID.fullmatch(line):
        return "emulator: " + _UUID.sub(request_id, rapid[1])
    return line
