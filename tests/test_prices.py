"""Costs, energy and savings against numbers that were worked out by hand."""

import pytest
from pydantic import ValidationError

from session.events import Saved
from session.prices import Prices, prices

ROUND = Prices(lambda_gb_second=0.001, vcpu_watts=2, mb_per_vcpu=2048, memory_watts_per_gb=0.5, pue=1.5)


def test_cost_is_duration_times_memory() -> None:
    assert ROUND.compute(seconds=10, memory_mb=2048) == pytest.approx(0.02)


def test_energy_is_that_of_busy_vcpus_and_memory_and_of_the_building() -> None:
    # 10 GB: 5 vCPUs x 2 W + 10 GB x 0.5 W = 15 W; x 1.5 = 22.5 W; for a minute 22.5 / 60 Wh
    assert ROUND.energy_wh(seconds=60, memory_mb=10_240) == pytest.approx(0.375)


def test_an_answer_from_the_faq_saves_the_models_cost_less_the_searchs() -> None:
    # model: 60 s at 10 GB = 600 GB-s = $0.60 and 0.375 Wh; search: 0.4 s at 1 GB = $0.0004 and
    # (0.5 x 2 + 0.5) x 1.5 = 2.25 W x 0.4 s = 0.00025 Wh
    saved = ROUND.saved(reply_s=60, memory_mb=10_240, search_s=0.4, search_memory_mb=1024)
    assert saved.seconds == pytest.approx(59.6)
    assert saved.cost_usd == pytest.approx(0.5996)
    assert saved.energy_wh == pytest.approx(0.37475)


def test_a_search_that_costs_as_much_as_the_reply_saves_nothing() -> None:
    assert ROUND.saved(reply_s=2, memory_mb=1024, search_s=2, search_memory_mb=1024) == Saved()


def test_a_search_that_costs_more_is_not_called_a_saving() -> None:
    saved = ROUND.saved(reply_s=1, memory_mb=1024, search_s=3, search_memory_mb=1024)
    assert saved.seconds == -2
    assert saved.cost_usd == pytest.approx(-0.002)
    assert saved.energy_wh < 0


def test_the_constants_of_the_file() -> None:
    # 10,240 MB: 5.714 vCPUs x 1.693 W + 10 x 0.392 W = 13.594 W; x 1.15 = 15.63 W; 100 s of it = 0.4343 Wh
    assert prices().energy_wh(seconds=100, memory_mb=10_240) == pytest.approx(0.43427, abs=1e-5)
    assert prices().compute(seconds=100, memory_mb=10_240) == pytest.approx(0.0133334)


def test_a_price_of_nothing_is_a_mistake() -> None:
    with pytest.raises(ValidationError, match="lambda_gb_second"):
        Prices.model_validate(prices().model_dump() | {"lambda_gb_second": 0})
