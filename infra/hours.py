"""Announced hours: when a schedule keeps model functions awake, as Application Auto Scaling writes it."""

from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import Field, StringConstraints, model_validator

from infra.parts import Part

Day = Literal["MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"]
WEEK: tuple[Day, ...] = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
Clock = Annotated[str, StringConstraints(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]


class Hours(Part):
    """From `start` to `end` on each of `days`; past midnight where `end` isn't later than `start`."""

    days: Annotated[tuple[Day, ...], Field(min_length=1)] = WEEK
    start: Clock
    end: Clock
    timezone: str = "UTC"

    @model_validator(mode="after")
    def _known_zone(self) -> Self:
        try:
            ZoneInfo(self.timezone)
        except (KeyError, OSError, ValueError):
            raise ValueError(f"no time zone {self.timezone!r}; such as Europe/Berlin or UTC") from None
        return self

    @property
    def opens(self) -> str:
        """A cron expression in the time zone."""
        return _cron(self.start, self.days)

    @property
    def closes(self) -> str:
        if self.end > self.start:
            return _cron(self.end, self.days)
        return _cron(self.end, [WEEK[(WEEK.index(day) + 1) % 7] for day in self.days])


def _cron(clock: str, days: "tuple[Day, ...] | list[Day]") -> str:
    hour, minute = clock.split(":")
    on = ",".join(day for day in WEEK if day in days)
    return f"cron({int(minute)} {int(hour)} ? * {on} *)"
