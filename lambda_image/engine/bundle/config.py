"""What `config.json` and `generation_config.json` say, validated: the one description of a model that the
builder, the loader and the decoder share.

`read_config` and `read_generation` take Hugging Face's files, old spelling (`rope_scaling`, `rope_theta`) or
new (`rope_parameters`), and refuse by name whatever the decoder would get wrong.
"""

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveFloat, PositiveInt, ValidationError

from lambda_image.engine.errors import CheckpointError

GROUP_SIZE = 32  # weights that share one int4 scale
REPLY = 512  # tokens of a reply where the model doesn't say: a long scene

ARCHITECTURE = "LlamaForCausalLM"
# Keys that would change the forward pass, with the only value that the decoder implements.
FIXED = {"hidden_act": "silu", "attention_bias": False, "mlp_bias": False, "quantization_config": None}


class Llama3Rope(BaseModel):
    """Llama 3.1's rotary scaling: long wavelengths stretched by `factor`, short ones kept, a ramp between."""

    model_config = ConfigDict(frozen=True)

    factor: PositiveFloat
    low_freq_factor: PositiveFloat
    high_freq_factor: PositiveFloat
    original_max_position_embeddings: PositiveInt


class ModelConfig(BaseModel):
    """Shape of a Llama decoder, under Hugging Face's names."""

    model_config = ConfigDict(frozen=True)

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


class Sampling(BaseModel):
    """How the next token is drawn. `temperature` 0 is greedy; `top_k` 0 and `top_p` 1 are off."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    temperature: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    top_k: NonNegativeInt = 0
    top_p: float = Field(default=1.0, ge=0, le=1)


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
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} can't be read as JSON ({error}): put the original file back") from None
    if not isinstance(data, dict):
        raise CheckpointError(f"{path} holds no JSON object: put the original file back")
    return data


def read_config(path: Path) -> ModelConfig:
    """The model in `path` (a `config.json`); CheckpointError names the first key that isn't supported."""
    data = read_json(path)
    architectures = data.get("architectures")
    if architectures != [ARCHITECTURE]:
        raise CheckpointError(
            f"{path}: architecture {architectures} isn't supported; this engine runs {ARCHITECTURE}"
        )
    for key, value in FIXED.items():
        if data.get(key, value) != value:
            raise CheckpointError(
                f"{path}: {key} = {data[key]!r} isn't supported; this engine needs {value!r}"
            )

    rope = {"rope_theta": data.get("rope_theta", 10_000.0)} | (
        data.get("rope_scaling") or data.get("rope_parameters") or {}
    )
    rope_type = rope.get("rope_type", rope.get("type", "default"))
    if rope_type not in ("default", "llama3"):
        raise CheckpointError(
            f"{path}: rope type {rope_type!r} isn't supported; this engine knows 'default' and 'llama3'"
        )
    if rope.get("partial_rotary_factor", data.get("partial_rotary_factor", 1.0)) != 1.0:
        raise CheckpointError(f"{path}: partial_rotary_factor other than 1.0 isn't supported")

    heads = data.get("num_attention_heads")
    derived: dict[str, Any] = {
        "num_key_value_heads": data.get("num_key_value_heads") or heads,
        "head_dim": data.get("head_dim") or data.get("hidden_size", 0) // (heads or 1),
        "tie_word_embeddings": data.get("tie_word_embeddings", False),
        "rope_theta": rope["rope_theta"],
        "llama3_rope": rope if rope_type == "llama3" else None,
    }
    try:
        config = ModelConfig.model_validate(data | derived)
    except ValidationError as error:
        raise CheckpointError(f"{path}: {first_error(error)}") from None
    if config.num_attention_heads % config.num_key_value_heads:
        raise CheckpointError(f"{path}: num_attention_heads isn't a multiple of num_key_value_heads")
    if config.head_dim % 2:
        raise CheckpointError(f"{path}: head_dim {config.head_dim} is odd, rotary embeddings need pairs")
    for key, width in {
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "num_attention_heads * head_dim": config.num_attention_heads * config.head_dim,
    }.items():
        if width % GROUP_SIZE:
            raise CheckpointError(
                f"{path}: {key} = {width} isn't a multiple of the int4 group size {GROUP_SIZE}"
            )
    return config


def read_generation(folder: Path) -> Generation:
    """End-of-text ids and sampling defaults of the checkpoint in `folder`.

    `generation_config.json` is optional; without `do_sample` decoding is greedy, as in transformers. Its
    unwritten class default `top_k` = 50 is not taken over.
    """
    path = folder / "generation_config.json"
    data = read_json(path) if path.exists() else {}
    eos = data.get("eos_token_id")
    if eos is None:
        eos = read_json(folder / "config.json").get("eos_token_id")
    sampling = {key: data[key] for key in ("temperature", "top_k", "top_p") if data.get(key) is not None}
    if not data.get("do_sample", False):
        sampling = {}
    elif "temperature" not in sampling:
        sampling["temperature"] = 1.0
    ids = eos if isinstance(eos, list) else [] if eos is None else [eos]
    try:
        return Generation.model_validate(
            {"eos_token_ids": ids, "max_new_tokens": data.get("max_new_tokens", REPLY), "sampling": sampling}
        )
    except ValidationError as error:
        raise CheckpointError(f"{path}: {first_error(error)}") from None


def first_error(error: ValidationError) -> str:
    """The first complaint in one line: key and cause."""
    detail = error.errors(include_url=False)[0]
    return f"{'.'.join(map(str, detail['loc'])) or 'document'}: {detail['msg']}"
