"""What operators see: structured logs with the ids of what they are about, metrics, and traces.

Powertools does it (the traces: `tracing.py`), where `POWERTOOLS_SERVICE_NAME` names the service, as the stack
does. Without a name (on one machine, in tests) there are plain logs and nothing else. What is said goes into
none of them. Every line of the log has its trace's id, and traces are annotated with their session and turn.
"""

import logging
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

from session import tracing

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger

NAMESPACE = "Curtain"
UNITS = {
    "CapsReached": "Count",  # a start was withheld: the day's model seconds are spent
    "CostUSD": "None",  # of a reply, the start that it waited for included
    "Failures": "Count",  # of turns, starts, frames (internal) and the ticket office (tickets): see `reason`
    "FaqHits": "Count",
    "FaqSavedUSD": "None",
    "GeneratedTokens": "Count",  # of a reply
    "InitSeconds": "Seconds",  # of a cold start: from the process's start to the invocation
    "LoadMBps": "None",  # MB (10^6 bytes) of weights per second of ReadSeconds
    "LoadSeconds": "Seconds",  # a whole cold start, from the process's start until the model is ready
    "ModelColdStart": "Count",
    "ModelSeconds": "Seconds",  # booked against the caps
    "QueueLength": "Count",  # the place that a listener was told
    "QueueSeconds": "Seconds",  # how long somebody queued who was served then
    "ReadSeconds": "Seconds",  # of a cold start: reading the weights
    "Stops": "Count",  # of turns, by their listeners
    "TTFT": "Seconds",  # from the turn's start in the model function to its first token
    "Throttles": "Count",  # refused for now: by Lambda or the gateway (429), a busy table, a full queue
    "TokensPerSecond": "None",  # of a reply, after its first token
    "TurnsEnded": "Count",  # in whatever way: `status` and `reason` say which
}


def service() -> str | None:
    """The name under which this process is seen."""
    return os.environ.get("POWERTOOLS_SERVICE_NAME")


def begin(context: object = None, **ids: str | None) -> None:
    """Another event: what is logged from here on carries its ids, and none of those before."""
    logger = _logger()
    if logger is not None:
        logger.clear_state()
        about(function_request_id=getattr(context, "aws_request_id", None), **ids)


def about(**ids: str | None) -> None:
    """What goes on from here is about these: session_id, turn_id, connection_id."""
    logger, known = _logger(), {name: value for name, value in ids.items() if value}
    if logger is None or not known:
        return
    if "session_id" in known:
        known["correlation_id"] = known["session_id"]
        if logger.get_current_keys().get("session_id", known["session_id"]) != known["session_id"]:
            logger.remove_keys(["turn_id"])  # it was the last session's
    logger.append_keys(**known)


def emit(values: Mapping[str, float], **told: str) -> None:
    """Metrics in CloudWatch's embedded format, at once; `told` can be searched for, and is no dimension."""
    logger = _logger()
    if logger is None:
        return
    from aws_lambda_powertools.metrics import EphemeralMetrics

    metrics = EphemeralMetrics(namespace=os.environ.get("POWERTOOLS_METRICS_NAMESPACE", NAMESPACE))
    for name, value in values.items():
        metrics.add_metric(name=name, unit=UNITS[name], value=value)
    for key, text in (_ids(logger) | told).items():
        metrics.add_metadata(key, text)
    metrics.flush_metrics()


@contextmanager
def traced(name: str) -> Iterator[None]:
    """A part of the trace, which can be searched for by what it was about at its end."""
    began, fault = time.time(), True
    try:
        yield
        fault = False
    finally:
        logger = _logger()
        if logger is not None:
            tracing.send(name, began=began, ended=time.time(), annotations=_ids(logger), fault=fault)


def _ids(logger: "Logger") -> dict[str, str]:
    """Of the session and the turn that it is about."""
    keys = logger.get_current_keys()
    return {name: keys[name] for name in ("session_id", "turn_id") if keys.get(name)}


@cache
def _logger() -> "Logger | None":
    """The process's, which from then on writes what every module logs."""
    if service() is None:
        return None
    from aws_lambda_powertools import Logger

    logger = Logger()
    root = logging.getLogger()
    root.handlers = [logger.registered_handler]
    root.setLevel(logger.log_level)
    return logger
