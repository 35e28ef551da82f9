"""A crowd at a small house: nobody gets more than the caps allow (`make load` is the same, larger)."""

import asyncio
import math
from typing import Any

import pytest

from session.limits import limits
from tests.house import open_house
from tests.load.__main__ import Census, booked, judged
from tests.load.crowd import Crowd

LISTENERS, ENVIRONMENTS, DAILY_S = 5, 2, 3.0
SMALL = ("--environments", f"{ENVIRONMENTS}", "--daily-seconds", f"{DAILY_S}", "--world", "emerald-city")


def test_the_caps_hold_against_a_crowd() -> None:
    with open_house(*SMALL) as house, Census(house) as census:
        crowd = Crowd(house.websocket)
        asyncio.run(crowd.listen(LISTENERS, seconds=60))

        # capacity: no more environments than allowed, and no more stories told at once
        assert 1 <= census.most <= ENVIRONMENTS
        assert 1 <= crowd.most_telling <= ENVIRONMENTS
        assert crowd.longest_queue >= 1  # there were more than that

        # model seconds of a day: what was begun was told, then it rests for everybody, and is woken by nobody
        assert crowd.ended["stop"] + crowd.ended["length"] + crowd.ended["loop"] >= 1
        assert set(crowd.resting) == set(range(LISTENERS))
        assert {message.split(";")[0] for message in crowd.resting.values()} == {
            "The narrator has talked enough for today"
        }
        spent = booked(house)
        assert spent >= DAILY_S
        assert asyncio.run(crowd.ask_again())[-2:] == ["starting", "resting"]
        assert booked(house) == spent

        # frames of a connection in a second
        taken, refused, took = asyncio.run(crowd.flood(5 * limits().frames_per_s))
        assert refused >= 1
        assert 1 <= taken <= limits().frames_per_s * (math.ceil(took) + 1)

        # stories of an address in a day
        assert asyncio.run(crowd.besiege()) == limits().address_sessions - LISTENERS - 2
        assert crowd.refused["too_many_sessions"] == 1


OURS = {
    "most_told_at_once": 2,
    "resting": 8,
    "frames": {"refused": 60},
    "most_environments": 2,
    "booked_seconds": 20.5,
    "booked_later": 20.5,
    "stories": limits().address_sessions,
}
ELSEWHERE = {name: OURS[name] for name in ("most_told_at_once", "resting", "frames")}


@pytest.mark.parametrize(
    ("seen", "broken"),
    [
        (OURS, set()),
        (OURS | {"most_told_at_once": 3}, {"capacity"}),
        (OURS | {"most_environments": 3}, {"capacity"}),
        (OURS | {"most_told_at_once": 0}, {"capacity"}),  # nobody was told anything
        (OURS | {"resting": 0, "booked_later": 31.5}, {"daily_seconds"}),
        (OURS | {"resting": 0}, {"daily_seconds"}),  # too few came, or for too short a time
        (OURS | {"booked_seconds": 19.0, "booked_later": 19.0}, {"daily_seconds"}),  # it rested too early
        (OURS | {"booked_later": 21.0}, {"daily_seconds"}),  # it was woken after all
        (OURS | {"frames": {"refused": 0}}, {"frames"}),
        (OURS | {"stories": limits().address_sessions + 1}, {"stories"}),
        (ELSEWHERE, set()),
        (ELSEWHERE | {"most_told_at_once": 0, "frames": {"refused": 0}}, {"capacity", "frames"}),
    ],
)
def test_the_command_fails_for_a_cap_that_was_not_seen_to_hold(
    seen: dict[str, Any], broken: set[str]
) -> None:
    holds = judged(seen, capacity=2, daily_seconds=20)
    assert {name for name, held in holds.items() if not held} == broken
    assert ("daily_seconds" in holds) == ("stories" in holds) == ("stories" in seen)
