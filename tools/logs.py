"""`make logs`: what the deployed functions say, in order of time; goes on until Ctrl+C."""

import sys
import time
from contextlib import suppress
from typing import Annotated

import typer
from botocore.exceptions import BotoCoreError, ClientError

from infra.context import OptionsError
from tools.stack import Context, Deployed, NotDeployed, find, told

PAUSE_S = 3.0
LATE_S = 10  # events come this much late


def tail(deployed: Deployed, *, since: float, follow: bool) -> None:
    """Prints events from `since` on, each once. Raises NotDeployed, botocore's errors."""
    groups = {"prologue": deployed.outputs["PrologueLogs"]}
    names = deployed.outputs["ModelFunctions"].split(",")
    groups |= dict(zip(names, deployed.outputs["ModelLogs"].split(","), strict=True))
    pages = deployed.session.client("logs").get_paginator("filter_log_events")
    told: set[tuple[int, str, str]] = set()
    while True:
        asked_at = time.time()
        found = [
            (event["timestamp"], name, event["message"].rstrip())
            for name, group in groups.items()
            for page in pages.paginate(logGroupName=group, startTime=int(since * 1000))
            for event in page["events"]
        ]
        for at, name, message in sorted(found, key=lambda event: event[0]):  # of one moment as they came
            if (at, name, message) not in told:
                print(f"{time.strftime('%X', time.localtime(at / 1000))} {name}: {message}", flush=True)
        told = set(found)
        if not follow:
            return
        since = max(since, asked_at - LATE_S)
        time.sleep(PAUSE_S)


def main(
    minutes: Annotated[float, typer.Option(help="How far back to begin.")] = 10,
    follow: Annotated[bool, typer.Option(help="Go on, with what comes.")] = True,
    context: Context = None,
) -> None:
    """Shows the deployed functions' logs."""
    with suppress(KeyboardInterrupt):
        try:
            tail(find(context), since=time.time() - 60 * minutes, follow=follow)
        except (OptionsError, NotDeployed, ClientError, BotoCoreError) as error:
            sys.exit(f"curtain: {told(error)}")


if __name__ == "__main__":
    typer.run(main)
