"""Does a crowd get more than the house allows? `python -m tests.load [wss://…]`.

Without an address it opens a house of its own. The last line of stdout is one JSON document: what was seen of
each cap; the exit status is 1 if one was not seen to hold.
"""

import asyncio
import json
import threading
from contextlib import ExitStack
from typing import Annotated, Any

import psutil
import typer

from local.tickets import Admission
from session.limits import limits
from tests.house import House, open_house
from tests.load.crowd import Crowd


class Census:
    """How many model environments there are at a time, looked at five times a second."""

    def __init__(self, house: House) -> None:
        self.most = 0
        self._house = house
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._count, daemon=True)

    def __enter__(self) -> "Census":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _count(self) -> None:
        while not self._over.wait(0.2):
            self.most = max(self.most, environments(self._house))


def environments(house: House) -> int:
    found = 0
    for process in house.family():
        try:
            found += process.cmdline()[1:3] == ["-m", "awslambdaric"]
        except psutil.Error:  # it has just ended
            continue
    return found


def booked(house: House) -> float:
    """Model seconds of the whole house, as the table has them."""
    items = (item for item in house.items() if item["pk"]["S"].startswith("count#seconds:stack#"))
    return sum(float(item["counted"]["N"]) for item in items)


def judged(seen: dict[str, Any], *, capacity: int, daily_seconds: float) -> dict[str, bool]:
    """Of each cap whether it was seen to hold. One that nobody met was not: send more, or for longer.

    Args:
    seen: as this command prints it; the figures of the house itself are there if it is our own.
    """
    most = max(seen["most_told_at_once"], seen.get("most_environments", 0))
    holds = {
        "capacity": seen["most_told_at_once"] >= 1 and most <= capacity,
        "frames": seen["frames"]["refused"] > 0,
    }
    if "stories" in seen:
        holds["stories"] = seen["stories"] == limits().address_sessions
        if daily_seconds:
            spent = seen["booked_seconds"]
            holds["daily_seconds"] = seen["resting"] > 0 and daily_seconds <= spent == seen["booked_later"]
    return holds


async def _load(crowd: Crowd, listeners: int, seconds: float, flood: int) -> dict[str, Any]:
    await crowd.listen(listeners, seconds)
    taken, refused, took = await crowd.flood(flood)
    return {
        "listeners": listeners,
        "turns": dict(crowd.ended),
        "most_told_at_once": crowd.most_telling,
        "longest_queue": crowd.longest_queue,
        "resting": len(crowd.resting),
        "frames": {"sent": flood, "taken": taken, "refused": refused, "seconds": round(took, 2)},
        "refused": dict(crowd.refused),
    }


def main(
    url: Annotated[str, typer.Argument(help="A house's WebSocket; none: a local house is opened.")] = "",
    code: Annotated[str, typer.Option(help="The house's access code.", envvar="CURTAIN_CODE")] = "",
    ticket_url: Annotated[str, typer.Option(help="Where tickets are given.")] = "",
    listeners: Annotated[int, typer.Option(min=1)] = 8,
    seconds: Annotated[float, typer.Option(help="So long at most.")] = 60.0,
    capacity: Annotated[int, typer.Option(help="Model environments that the house may have.")] = 2,
    daily_seconds: Annotated[float, typer.Option(help="Of the local house; 0: no cap.")] = 20.0,
) -> None:
    """Sends a crowd, and says what it got."""
    with ExitStack() as open_now:
        house = census = None
        if not url:
            options = ("--environments", str(capacity), "--daily-seconds", str(daily_seconds))
            house = open_now.enter_context(open_house(*options, complains=True))  # frames of a flood collide
            census = open_now.enter_context(Census(house))
        admission = Admission(code=code or None, ticket_url=ticket_url or None)
        crowd = Crowd(house.websocket if house else url, admission)
        found = asyncio.run(_load(crowd, listeners, seconds, flood=20 * limits().frames_per_s))
        if house and census:
            found |= {"most_environments": census.most, "booked_seconds": booked(house)}
            asyncio.run(crowd.ask_again())
            found["booked_later"] = booked(house)
            found["stories"] = asyncio.run(crowd.besiege()) + listeners + 2
    holds = judged(found, capacity=capacity, daily_seconds=daily_seconds)
    print(json.dumps({"load": found, "holds": holds}))
    raise typer.Exit(0 if all(holds.values()) else 1)


if __name__ == "__main__":
    typer.run(main)
