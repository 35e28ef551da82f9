"""Prices of what costs while nobody talks, and of a machine that is always on: `idle_prices.toml`."""

import tomllib
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, PositiveFloat

from session.prices import prices


class IdlePrices(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    image_gb_month: PositiveFloat
    stored_gb_month: PositiveFloat
    secret_month: PositiveFloat
    dashboard_month: PositiveFloat
    alarm_metric_month: PositiveFloat
    queue_request: PositiveFloat
    provisioned_gb_second: PositiveFloat
    nat_hour: PositiveFloat
    public_address_hour: PositiveFloat
    endpoint_hour: PositiveFloat
    key_month: PositiveFloat
    hours_month: PositiveFloat
    queue_polls_hour: PositiveFloat
    image_gb: PositiveFloat
    machine: str
    machine_hour: PositiveFloat
    machine_disk_month: PositiveFloat

    @property
    def machine_month(self) -> float:
        """USD a month for the machine that is always on."""
        return self.hours_month * self.machine_hour + self.machine_disk_month


@cache
def idle_prices() -> IdlePrices:
    text = Path(__file__).with_name("idle_prices.toml").read_text(encoding="utf-8")
    return IdlePrices.model_validate(tomllib.loads(text))


def break_even_hours(memory_mb: int) -> float:
    """Hours a month for which a model function of that size costs as much as a machine that is always on.

    Hours in which the function runs: it computes, or lingers for the listener's next words; both are paid.
    """
    return idle_prices().machine_month / prices().compute(seconds=3600, memory_mb=memory_mb)
