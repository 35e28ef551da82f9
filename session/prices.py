"""What a reply costs on Lambda, from `prices.toml`."""

import tomllib
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, PositiveFloat


class Prices(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    lambda_gb_second: PositiveFloat

    def compute(self, *, seconds: float, memory_mb: int) -> float:
        """USD for an invocation of that length: duration x memory (AWS counts 1,024 MB as one GB)."""
        return seconds * memory_mb / 1024 * self.lambda_gb_second


@cache
def prices() -> Prices:
    return Prices.model_validate(tomllib.loads(Path(__file__).with_name("prices.toml").read_text()))
