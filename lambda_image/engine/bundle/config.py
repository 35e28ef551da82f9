"""What `config.json` and `generation_config.json` say, validated: the one description of a model that the
builder, the loader and the decoders share.

`read_config` and `read_generation` take Hugging Face's files, old spelling (`rope_scaling`, `rope_theta`) or
new (`rope_parameters`), and refuse by name whatever the decoders would get wrong. What a file leaves out has
the value that transformers' configuration class of that architecture gives it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from lambda_image.engine.errors import CheckpointError

GROUP_SIZE = 32  # weights that share one int4 scale
REPLY = 512  # tokens of a reply where the model doesn't say: a long scene
ROPE_THETA = 10_000.0  # where config.json has none


@dataclass(frozen=True)
class Architecture:
    """How one of transformers' classes differs from the plain Llama."""

    attention_bias: bool | None = None  # of query, key and value; None: as the file says
    output_bias: bool | None = None  # of the attention's output; None: as the file says
    qk_norm: bool = False  # RMS norm of each query and key head, before the rotation
    windowed: bool = False  # the file can ask for a sliding window
    layerwise: bool = False  # the window is off unless asked for, and then for the upper layers only
    defaults: Mapping[str, int] = field(default_factory=dict)  # of keys that the file may leave out


# The keys' defaults are those of transformers' LlamaConfig, MistralConfig, Qwen2Config and Qwen3Config.
ARCHITECTURES = {
    "LlamaForCausalLM": Architecture(),
    "MistralForCausalLM": Architecture(
        attention_bias=False,
        output_bias=False,
        windowed=True,
        defaults={"num_key_value_heads": 8, "sliding_window": 4096},
    ),
    "Qwen2ForCausalLM": Architecture(
        attention_bias=True,
        output_bias=False,
        windowed=True,
        layerwise=True,
        defaults={"num_key_value_heads": 32, "sliding_window": 4096, "max_window_layers": 28},
    ),
    "Qwen3ForCausalLM": Architecture(
        qk_norm=True,
        windowed=True,
        layerwise=True,
        defaults={
            "num_key_value_heads": 32,
            "head_dim": 128,
            "sliding_window": 4096,
            "max_window_layers": 28,
        },
    ),
}
# Keys that would change the forward pass, with the only value that the decoders implement.
FIXED = {"hidden_act": "silu", "mlp_bias": False, "quantization_config": None}


class Llama3Rope(BaseModel):
    """Llama 3.1's rotary scaling: long wavelengths stretched by `factor`, short ones kept, a ramp between."""

    model_config = ConfigDict(frozen=True)

    factor: PositiveFloat
    low_freq_factor: PositiveFloat
    high_freq_factor: PositiveFloat
    original_max_position_embeddings: PositiveInt

    @model_validator(mode="after")
    def _ramp(self) -> Self:
        if self.high_freq_factor <= self.low_freq_factor:
            raise ValueError("high_freq_factor must be above low_freq_factor")
        return self


class ModelConfig(BaseModel):
    """Shape of a decoder, under Hugging Face's names; what they leave to a class is spelled out."""

    model_config = ConfigDict(frozen=True)

    architecture: str
    vocab_size: PositiveInt
    hidden_size: PositiveInt
    intermediate_size: PositiveInt
    num_hidden_layers: PositiveInt
    num_attention_heads: PositiveInt
    num_key_value_heads: PositiveInt
    head_dim: PositiveInt
    rms_norm_eps: PositiveFloat
    max_position_embeddings: PositiveInt
    tie_word_embeddings: bool
    rope_theta: PositiveFloat
    llama3_rope: Llama3Rope | None
    attention_bias: bool  # query, key and value have biases
    output_bias: bool  # the attention's output has a bias
    qk_norm: bool  # each query and key head is normed before the rotation
    # Per layer: tokens that a token sees, itself included; 0: all.
    windows: tuple[Annotated[int, Field(ge=0, lt=1 << 31)], ...]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.architecture not in ARCHITECTURES:
            raise ValueError(_unknown(self.architecture))
        if self.num_attention_heads % self.num_key_value_heads:
            raise ValueError("num_attention_heads isn't a multiple of num_key_value_heads")
        if self.head_dim % 2:
            raise ValueError(f"head_dim {self.head_dim} is odd, rotary embeddings need pairs")
        if len(self.windows) != self.num_hidden_layers:
            raise ValueError(f"{len(self.windows)} windows for {self.num_hidden_layers} layers")
        for key, width in {
            "hidden_size": self.hidden_size,
            "intermediate_size": self.intermediate_size,
            "num_attention_heads * head_dim": self.num_attention_heads * self.head_dim,
        }.items():
            if width % GROUP_SIZE:
                raise ValueError(f"{key} = {width} isn't a multiple of the int4 group size {GROUP_SIZE}")
        return self


class Sampling(BaseModel):
    """How the next token is drawn. `temperature` 0 is greedy, `top_p` 0 the most likely token only.

    Off are `top_k` 0, `top_p` 1, `min_p` 0 and `repetition_penalty` 1. `logit_bias` is added to the logits of
    the token ids that it names.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    temperature: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    top_k: NonNegativeInt = 0
    top_p: float = Field(default=1.0, ge=0, le=1)
    min_p: float = Field(default=0.0, ge=0, le=1)
    repetition_penalty: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    logit_bias: dict[NonNegativeInt, FiniteFloat] = {}


class Generation(BaseModel):
    """The model's own defaults for generating."""

    model_config = ConfigDict(frozen=True)

    eos_token_ids: tuple[NonNegativeInt, ...] = Field(min_length=1)
    max_new_tokens: PositiveInt
    sampling: Sampling


def missing(path: Path) -> CheckpointError:
    """The error for a checkpoint file that isn't there."""
    return CheckpointError(
        f"{path} is missing: a checkpoint is a folder in Hugging Face's layout, with config.json, "
        "tokenizer.json, tokenizer_config.json and model.safetensors, or its shards and their index"
    )


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in `path`; CheckpointError if it is missing or is anything else."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise missing(path) from None
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} can't be read as JSON ({error}): put the original file back") from None
    if not isinstance(data, dict):
        raise CheckpointError(f"{path} holds no JSON object: put the original file back")
    return data


def read_config(path: Path) -> ModelConfig:
    """The model in `path` (a `config.json`); CheckpointError names the first key that isn't supported."""
    try:
        return parse_config(read_json(path))
    except ValidationError as error:
        raise CheckpointError(f"{path}: {first_error(error)}") from None
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from None


def parse_config(data: Mapping[str, Any]) -> ModelConfig:
    """The model that the keys of a `config.json` describe; ValueError names one that isn't supported."""
    match data.get("architectures"):
        case [str(name)] if name in ARCHITECTURES:
            architecture = ARCHITECTURES[name]
        case names:
            raise ValueError(_unknown(names))
    for key, value in FIXED.items():
        if data.get(key, value) != value:
            raise ValueError(f"{key} = {data[key]!r} isn't supported; this engine needs {value!r}")
    bias = data.get("attention_bias", False)
    derived: dict[str, Any] = {
        "architecture": name,
        "tie_word_embeddings": data.get("tie_word_embeddings", False),
        "attention_bias": bias if architecture.attention_bias is None else architecture.attention_bias,
        "output_bias": bias if architecture.output_bias is None else architecture.output_bias,
        "qk_norm": architecture.qk_norm,
    }
    data = {**architecture.defaults, **data}
    heads, hidden = data.get("num_attention_heads"), data.get("hidden_size")
    derived["num_key_value_heads"] = data.get("num_key_value_heads") or heads
    if not data.get("head_dim") and isinstance(heads, int) and isinstance(hidden, int):
        if heads <= 0 or hidden % heads:
            raise ValueError(f"hidden_size {hidden} isn't a multiple of num_attention_heads {heads}")
        derived["head_dim"] = hidden // heads
    return ModelConfig.model_validate(data | derived | _rope(data) | _windows(data, architecture))


def _unknown(names: object) -> str:
    return f"architecture {names} isn't supported; this engine runs {', '.join(ARCHITECTURES)}"


def _rope(data: Mapping[str, Any]) -> dict[str, Any]:
    given = data.get("rope_scaling") or data.get("rope_parameters") or {}
    if not isinstance(given, dict):
        raise ValueError(f"rope parameters {given!r} aren't an object")
    if nested := [key for key, value in given.items() if isinstance(value, dict)]:
        raise ValueError(f"rope parameters of their own for {nested[0]} aren't supported")
    rope = {"rope_theta": data.get("rope_theta", ROPE_THETA)} | given
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind not in ("default", "llama3"):
        raise ValueError(f"rope type {kind!r} isn't supported; this engine knows 'default' and 'llama3'")
    if (rope.get("partial_rotary_factor") or data.get("partial_rotary_factor") or 1.0) != 1.0:
        raise ValueError("partial_rotary_factor other than 1.0 isn't supported")
    trained = "original_max_position_embeddings"  # as in transformers, the model's own value goes first
    scaling = {trained: data.get("max_position_embeddings")} | rope
    scaling |= {trained: data[trained]} if data.get(trained) else {}
    return {"rope_theta": rope["rope_theta"], "llama3_rope": scaling if kind == "llama3" else None}


def _windows(data: Mapping[str, Any], architecture: Architecture) -> dict[str, Any]:
    """Each layer's sliding window. Mistral has one for all layers; Qwen has it off unless
    `use_sliding_window` is true, and then from layer `max_window_layers` on, or where `layer_types` says."""
    layers = data.get("num_hidden_layers")
    if not isinstance(layers, int):
        return {"windows": ()}  # refused for its number of layers
    window = data.get("sliding_window") if architecture.windowed else None
    if architecture.layerwise and not data.get("use_sliding_window", False):
        window = None
    if window is not None and (not isinstance(window, int) or window < 1):
        raise ValueError(f"sliding_window = {window!r} isn't a number of tokens")
    types = data.get("layer_types")
    if types is None or not architecture.windowed:
        first = data["max_window_layers"] if architecture.layerwise and window else 0
        return {"windows": tuple(window if window and i >= first else 0 for i in range(layers))}
    if not architecture.layerwise:
        raise ValueError("layer_types isn't supported in this architecture")
    if not isinstance(types, list) or len(types) != layers:
        raise ValueError(f"layer_types doesn't list {layers} layers")
    for kind in types:
        if kind not in ("full_attention", "sliding_attention") or (
            kind == "sliding_attention" and not window
        ):
            raise ValueError(f"layer_types has {kind!r}, which isn't supported with sliding_window {window}")
    return {"windows": tuple(window if kind == "sliding_attention" else 0 for kind in types)}


def read_generation(folder: Path) -> Generation:
    """End-of-text ids and sampling defaults of the checkpoint in `folder`.

    `generation_config.json` is optional; without `do_sample` decoding is greedy, as in transformers, where
    the repetition penalty works all the same. Its unwritten class default `top_k` = 50 is not taken over.
    """
    path = folder / "generation_config.json"
    data = read_json(path) if path.exists() else {}
    eos = data.get("eos_token_id")
    if eos is None:
        eos = read_json(folder / "config.json").get("eos_token_id")
    drawn = ("temperature", "top_k", "top_p", "min_p") if data.get("do_sample", False) else ()
    keys = (*drawn, "repetition_penalty")
    sampling = {key: data[key] for key in keys if data.get(key) is not None}
    if drawn:
        sampling.setdefault("temperature", 1.0)
    ids = eos if isinstance(eos, list) else [] if eos is None else [eos]
    length = data.get("max_new_tokens")
    try:
        return Generation.model_validate(
            {
                "eos_token_ids": ids,
                "max_new_tokens": REPLY if length is None else length,
                "sampling": sampling,
            }
        )
    except ValidationError as error:
        raise CheckpointError(f"{path}: {first_error(error)}") from None


def first_error(error: ValidationError) -> str:
    """The first complaint in one line: key and cause."""
    detail = error.errors(include_url=False)[0]
    message = detail["msg"].removeprefix("Value error, ")
    place = ".".join(map(str, detail["loc"]))
    return f"{place}: {message}" if place else message
