"""A crowd at a small house: nobody gets more than the caps allow (`make load` is the same, larger)."""

import asyncio
import math

from session.limits import limits
from tests.house import open_house
from tests.load.__main__ import Census, booked
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
