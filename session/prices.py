"""What computing costs on Lambda in dollars and watt-hours, and what an answer from the FAQ saves.

The constants and their sources are in `prices.toml`.
"""

import tomllib
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, PositiveFloat

from session.events import Saved


class Prices(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    lambda_gb_second: PositiveFloat
    vcpu_watts: PositiveFloat
    mb_per_vcpu: PositiveFloat
    memory_watts_per_gb: PositiveFloat
    pue: PositiveFloat

    def compute(self, *, seconds: float, memory_mb: int) -> float:
        """USD for an invocation of that length: duration x memory (AWS counts 1,024 MB as one GB)."""
        return seconds * memory_mb / 1024 * self.lambda_gb_second

    def energy_wh(self, *, seconds: float, memory_mb: int) -> float:
        """Watt-hours for an invocation of that length with all of its vCPUs busy; an estimate."""
        vcpus = memory_mb / self.mb_per_vcpu * self.vcpu_watts
        memory = memory_mb / 1024 * self.memory_watts_per_gb
        return seconds / 3600 * (vcpus + memory) * self.pue

    def saved(self, *, reply_s: float, memory_mb: int, search_s: float, search_memory_mb: int) -> Saved:
        """What one answer from the FAQ saves: the model's cost of a reply less the cost of the search.

        Summed over a session this is the equation `share x (LLM cost - search cost)` per question asked,
        where `share` are those that the FAQ answered. `reply_s`: seconds that the model took for its latest
        reply (the best guess of what this one would have taken); `search_s`: seconds that reading, embedding
        and searching took. Below zero where the search was the dearer of the two.
        """
        return Saved(
            seconds=reply_s - search_s,
            cost_usd=self.compute(seconds=reply_s, memory_mb=memory_mb)
            - self.compute(seconds=search_s, memory_mb=search_memory_mb),
            energy_wh=self.energy_wh(seconds=reply_s, memory_mb=memory_mb)
            - self.energy_wh(seconds=search_s, memory_mb=search_memory_mb),
        )


@cache
def prices() -> Prices:
    return Prices.model_validate(tomllib.loads(Path(__file__).with_name("prices.toml").read_text()))
