"""The gateway's limits, as data: `limits.toml`, validated. Bytes, and seconds."""

import tomllib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, PositiveFloat, PositiveInt, ValidationError

LIMITS_FILE = Path(__file__).with_name("limits.toml")


class Limits(BaseModel):
    """See `limits.toml` for the meaning and the source of each. Tests make small ones with `model_copy`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    frame_bytes: PositiveInt
    message_bytes: PositiveInt
    idle_s: PositiveFloat
    life_s: PositiveFloat
    integration_timeout_s: PositiveFloat
    client_buffer_bytes: PositiveInt
    close_grace_s: PositiveFloat


def load_limits(path: Path = LIMITS_FILE) -> Limits:
    """Read limits from a TOML file.

    Raises OSError if it can't be read, ValueError (naming the file and the key) if it isn't valid.
    """
    try:
        return Limits.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, ValidationError) as exc:
        raise ValueError(f"{path}: not valid gateway limits; correct the file: {exc}") from exc
