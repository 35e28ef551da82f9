"""The models that Curtain knows by name: `models.toml`, validated.

`load_catalog().find("llama3.1")` is the entry of llama3.1-8b: torchchat's names are known too.
"""

import math
import re
import tomllib
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    StringConstraints,
    ValidationError,
    model_validator,
)

from lambda_image.engine.bundle.config import ModelConfig, first_error, parse_config
from lambda_image.engine.bundle.plan import plan
from lambda_image.engine.errors import EngineError

CATALOG = Path(__file__).with_name("models.toml")
REPOSITORY = Path(__file__).parents[3]  # local sources are relative to it

HEADROOM_MB = 1024  # interpreter, libraries, activations, logits, prompt
MEMORY_LIMIT_MB = 10_240  # the largest Lambda function
MEMORY_STEP_MB = 64

NAME = re.compile(r"^[a-z0-9][a-z0-9.-]*$")
Name = Annotated[str, StringConstraints(pattern=NAME)]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class CatalogError(EngineError):
    """The catalog can't be used, or doesn't have a model; the message says which key or name."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Config(_Part):
    """What decides shape and numbers, under the names of Hugging Face's `config.json`."""

    architectures: Annotated[list[str], Field(min_length=1)]
    hidden_size: PositiveInt
    intermediate_size: PositiveInt
    num_hidden_layers: PositiveInt
    num_attention_heads: PositiveInt
    num_key_value_heads: PositiveInt
    head_dim: PositiveInt
    vocab_size: PositiveInt
    max_position_embeddings: PositiveInt
    tie_word_embeddings: bool
    rms_norm_eps: PositiveFloat
    rope_theta: PositiveFloat
    rope_scaling: dict[str, str | float] | None = None
    sliding_window: PositiveInt | None = None

    @property
    def model(self) -> ModelConfig:
        """The same, as the engine reads it. ValueError if it doesn't run such a model."""
        return parse_config(self.config_json())

    def config_json(self) -> dict[str, Any]:
        """A `config.json` of this shape, for a checkpoint of random weights."""
        model_type = self.architectures[0].removesuffix("ForCausalLM").lower()
        return {"model_type": model_type, "hidden_act": "silu"} | self.model_dump()


class Entry(_Part):
    """One model. `name` is its key in the catalog."""

    name: Name
    torchchat: Annotated[tuple[Name, ...], Field(strict=False)] = ()
    source: Annotated[str, StringConstraints(pattern=r"^(\./.+|[\w.-]+/[\w.-]+)$")]
    revision: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")] | None = None
    licence: Text
    gated: bool
    context_length: PositiveInt
    config: Config

    @model_validator(mode="after")
    def _fits(self) -> "Entry":
        if self.is_local == bool(self.revision):
            raise ValueError("a hub source needs a revision (40 hex digits), a local one (./) has none")
        if self.context_length > self.config.max_position_embeddings:
            raise ValueError(
                f"context_length {self.context_length} exceeds the model's own, "
                f"{self.config.max_position_embeddings}"
            )
        if self.memory_mb > MEMORY_LIMIT_MB:
            raise ValueError(
                f"needs {self.memory_mb} MB, the largest Lambda function has {MEMORY_LIMIT_MB}: "
                "lower context_length, or take a smaller model"
            )
        return self

    @property
    def is_local(self) -> bool:
        return self.source.startswith("./")

    @property
    def reference(self) -> str:
        """What `fetch` takes: a folder, or `owner/repository@revision`."""
        return str(REPOSITORY / self.source) if self.is_local else f"{self.source}@{self.revision}"

    @cached_property
    def parameters(self) -> int:
        """Number of weights, a tied head counted once."""
        return sum(planned.size for planned in plan(self.config.model))

    @cached_property
    def bundle_bytes(self) -> int:
        """Size of the bundle's weights."""
        return sum(planned.nbytes for planned in plan(self.config.model))

    @property
    def kv_bytes_per_token(self) -> int:
        """Bytes of keys and values for a token of context, float16."""
        config = self.config
        return 2 * 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim

    @property
    def memory_mb(self) -> int:
        """Memory that its Lambda function needs at least, in MB as Lambda counts them (2^20 bytes)."""
        needed = (self.bundle_bytes + self.context_length * self.kv_bytes_per_token) / 2**20 + HEADROOM_MB
        return math.ceil(needed / MEMORY_STEP_MB) * MEMORY_STEP_MB


class Catalog(_Part):
    """All models, by name."""

    cloud_default: Name
    local_default: Name
    models: dict[Name, Entry]

    @model_validator(mode="before")
    @classmethod
    def _name_entries(cls, data: Any) -> Any:
        models = data.get("models")
        if isinstance(models, dict):
            named = {
                key: {**entry, "name": key} if isinstance(entry, dict) else entry
                for key, entry in models.items()
            }
            return {**data, "models": named}
        return data

    @model_validator(mode="after")
    def _consistent(self) -> "Catalog":
        for key in ("cloud_default", "local_default"):
            if getattr(self, key) not in self.models:
                raise ValueError(f"{key} = {getattr(self, key)!r} is none of the models")
        names = [name for entry in self.models.values() for name in (entry.name, *entry.torchchat)]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"{twice[0]!r} names two models")
        return self

    @cached_property
    def _by_name(self) -> dict[str, Entry]:
        return {name: entry for entry in self.models.values() for name in (entry.name, *entry.torchchat)}

    def find(self, name: str) -> Entry:
        """The model of this name, ours or torchchat's, in any case. CatalogError lists names near it."""
        entry = self._by_name.get(name.lower())
        if entry is None:
            near = get_close_matches(name.lower(), self._by_name, n=3, cutoff=0.5)
            hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(self.models)}"
            raise CatalogError(f"no model {name!r} in the catalog; {hint}")
        return entry


def load_catalog(path: Path = CATALOG) -> Catalog:
    """The catalog in `path`. CatalogError names file and key (or line) of the first mistake."""
    try:
        return Catalog.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        raise CatalogError(f"{path}: {first_error(error)}") from None
    except (OSError, ValueError) as error:
        raise CatalogError(f"{path}: {error}") from None
