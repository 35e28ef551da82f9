"""The session's limits and times, from `limits.toml`."""

import tomllib
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, NonNegativeFloat, PositiveFloat, PositiveInt


class Limits(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    say_chars: PositiveInt
    answer_chars: PositiveInt
    title_chars: PositiveInt
    turn_chars: PositiveInt
    faq_chars: PositiveInt
    tombstones: PositiveInt
    recent_turns: PositiveInt
    seat_s: PositiveFloat
    renew_s: PositiveFloat
    resting_s: PositiveFloat
    start_limit_s: PositiveFloat
    grace_s: PositiveFloat
    wake_after_s: PositiveFloat
    fragment_gap_s: PositiveFloat
    fragment_wait_s: PositiveFloat
    lull_growth: PositiveFloat
    lull_wait_s: PositiveFloat
    prologue_entries: PositiveInt
    turn_versions: PositiveInt
    session_turns: PositiveInt
    session_tokens: PositiveInt
    daily_turns: PositiveInt
    daily_tokens: PositiveInt
    address_sessions: PositiveInt
    frames_per_s: PositiveInt
    model_seconds_day_stack: NonNegativeFloat
    model_seconds_day_ticket: NonNegativeFloat
    model_seconds_day_address: NonNegativeFloat
    wake_pause_s: PositiveFloat
    retry_pause_s: PositiveFloat
    queue_places: PositiveInt
    queue_s: PositiveFloat
    queue_limit_s: PositiveFloat
    slot_s: PositiveFloat
    booking_s: PositiveFloat
    turn_room_s: PositiveFloat
    estimates: PositiveInt
    session_days: PositiveInt
    connection_hours: PositiveInt
    delta_chars: PositiveInt
    delta_slowest_s: PositiveFloat
    delta_interval_s: PositiveFloat
    stop_poll_s: PositiveFloat
    progress_s: PositiveFloat
    deadline_s: PositiveFloat
    max_tokens: PositiveInt
    linger_s: NonNegativeFloat
    linger_poll_s: PositiveFloat


@cache
def limits() -> Limits:
    return Limits.model_validate(tomllib.loads(Path(__file__).with_name("limits.toml").read_text()))
