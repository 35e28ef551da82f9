"""Parts of a function's trace, sent to X-Ray's daemon, which Lambda runs beside a function that is traced.

Not by Powertools' Tracer: it is made of X-Ray's SDK, which AWS supports no longer than February 2027, and its
import would cost the light function 0.2 s of CPU. The format is documented: AWS X-Ray's developer guide,
"segment documents" and "sending segment documents to the X-Ray daemon".
"""

import contextlib
import json
import os
import secrets
import socket
from collections.abc import Mapping

_HEADER = b'{"format": "json", "version": 1}\n'


def send(
    name: str, *, began: float, ended: float, annotations: Mapping[str, str], fault: bool = False
) -> None:
    """A subsegment of this invocation's trace; nothing where it isn't sampled, or nobody listens.

    Args:
        began, ended: epoch seconds.
        annotations: what traces can be searched for by; keys of letters, digits and underscores.
        fault: the work ended with an exception.
    """
    known = os.environ.get("_X_AMZN_TRACE_ID", "").split(";")  # set for each event
    trace = dict(part.split("=", 1) for part in known if "=" in part)
    host, _, port = os.environ.get("AWS_XRAY_DAEMON_ADDRESS", "").rpartition(":")
    if trace.get("Sampled") != "1" or not trace.keys() >= {"Root", "Parent"} or not port.isdigit():
        return
    document = {
        "type": "subsegment",
        "trace_id": trace["Root"],
        "parent_id": trace["Parent"],
        "id": secrets.token_hex(8),
        "name": name,
        "start_time": began,
        "end_time": ended,
        "fault": fault,
        "annotations": dict(annotations),
    }
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as daemon:
        daemon.setblocking(False)
        daemon.sendto(_HEADER + json.dumps(document).encode(), (host, int(port)))
