"""What the engine refuses to build from, and what it says."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from lambda_image.engine.convert.checkpoint import Checkpoint
from lambda_image.engine.errors import CheckpointError
from tests.checkpoints import EOS, EOT, LLAMA3_ROPE, edit_json, write_checkpoint


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "model")


def edit_weights(path: Path, edit: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = load_file(path)
    edit(tensors)
    save_file(tensors, path, metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architectures": ["GemmaForCausalLM"]}, r"architecture \['GemmaForCausalLM'\] isn't supported"),
        ({"architectures": ["LlamaForCausalLM", "Qwen2ForCausalLM"]}, "architecture .* isn't supported"),
        ({"architectures": [7]}, r"architecture \[7\] isn't supported"),
        (
            {"architectures": None},
            "architecture None isn't supported; this engine runs LlamaForCausalLM, Mis",
        ),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}, "rope type 'yarn' isn't supported"),
        ({"rope_scaling": {"type": "linear", "factor": 2.0}}, "rope type 'linear' isn't supported"),
        ({"rope_scaling": LLAMA3_ROPE | {"factor": "much"}}, "llama3_rope.factor: Input should be a valid"),
        (
            {"rope_scaling": LLAMA3_ROPE | {"low_freq_factor": 4.0}},
            "llama3_rope: high_freq_factor must be above",
        ),
        (
            {"rope_scaling": {"rope_type": "llama3", "factor": 8.0}},
            "llama3_rope.low_freq_factor: Field required",
        ),
        ({"rope_scaling": ["llama3"]}, "rope parameters .* aren't an object"),
        ({"rope_scaling": {"full_attention": {"rope_theta": 1.0}}}, "rope .* for full_attention aren't supp"),
        ({"rope_theta": "high"}, "rope_theta: Input should be a valid number"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor"),
        ({"hidden_act": "gelu"}, "hidden_act = 'gelu' isn't supported"),
        ({"attention_bias": "sometimes"}, "attention_bias: Input should be a valid boolean"),
        ({"mlp_bias": True}, "mlp_bias = True isn't supported"),
        ({"quantization_config": {"quant_method": "gptq"}}, "quantization_config"),
        ({"hidden_size": None}, "hidden_size: Field required"),
        ({"rms_norm_eps": None}, "rms_norm_eps: Field required"),
        ({"num_hidden_layers": None}, "num_hidden_layers: Field required"),
        ({"vocab_size": "many"}, "vocab_size: Input should be a valid integer"),
        ({"num_attention_heads": 0}, "num_attention_heads"),
        ({"num_key_value_heads": 3}, "isn't a multiple of num_key_value_heads"),
        ({"head_dim": 15}, "head_dim 15 is odd"),
        ({"head_dim": None, "hidden_size": 66}, "hidden_size 66 isn't a multiple of num_attention_heads 4"),
        ({"hidden_size": 72}, "hidden_size = 72 isn't a multiple of the int4 group size 32"),
        ({"intermediate_size": 100}, "intermediate_size = 100 isn't a multiple of the int4 group size 32"),
    ],
)
def test_unsupported_config_is_refused_by_name(folder: Path, changes: dict[str, Any], message: str) -> None:
    edit_json(folder / "config.json", **changes)
    with pytest.raises(CheckpointError, match=message) as error:
        Checkpoint(folder)
    assert str(folder / "config.json") in str(error.value)


@pytest.mark.parametrize(
    ("architecture", "changes", "message"),
    [
        ("MistralForCausalLM", {"sliding_window": 0}, "sliding_window = 0 isn't a number of tokens"),
        ("MistralForCausalLM", {"layer_types": ["full_attention"] * 2}, "layer_types isn't supported"),
        ("Qwen2ForCausalLM", {"layer_types": ["full_attention"]}, "layer_types doesn't list 2 layers"),
        ("Qwen2ForCausalLM", {"layer_types": ["sliding_attention"] * 2}, "has 'sliding_attention', which"),
        (
            "Qwen3ForCausalLM",
            {"layer_types": ["full_attention", "linear"]},
            "layer_types has 'linear', which",
        ),
    ],
)
def test_unsupported_windows_are_refused(
    tmp_path: Path, architecture: str, changes: dict[str, Any], message: str
) -> None:
    folder = write_checkpoint(tmp_path, architecture=architecture)
    edit_json(folder / "config.json", **changes)
    with pytest.raises(CheckpointError, match=message):
        Checkpoint(folder)


@pytest.mark.parametrize("name", ["self_attn.q_proj.bias", "self_attn.k_norm.weight", "mlp.gate_proj.bias"])
def test_a_tensor_that_the_configuration_does_not_know_is_named(folder: Path, name: str) -> None:
    """Left out, it would make the model wrong without a word."""
    stray = {f"model.layers.1.{name}": torch.ones(64)}
    edit_weights(folder / "model.safetensors", lambda tensors: tensors.update(stray))
    with pytest.raises(CheckpointError, match=f"tensor model.layers.1.{name} has no place in a LlamaFor"):
        Checkpoint(folder)


def test_missing_tensor_is_named_before_any_work(folder: Path) -> None:
    edit_weights(
        folder / "model.safetensors", lambda tensors: tensors.pop("model.layers.1.mlp.up_proj.weight")
    )
    with pytest.raises(
        CheckpointError, match=r"model.layers.1.mlp.up_proj.weight is missing \(1 of 21 are\)"
    ):
        Checkpoint(folder)


def test_untied_checkpoint_needs_its_head(folder: Path) -> None:
    edit_weights(folder / "model.safetensors", lambda tensors: tensors.pop("lm_head.weight"))
    with pytest.raises(CheckpointError, match=r"lm_head.weight is missing"):
        Checkpoint(folder)
    edit_json(folder / "config.json", tie_word_embeddings=True)
    assert Checkpoint(folder).plan[-1].sources[0].name == "model.embed_tokens.weight"


def test_wrong_shape_is_named(folder: Path) -> None:
    edit_json(folder / "config.json", intermediate_size=128)
    with pytest.raises(
        CheckpointError, match=r"down_proj.weight has shape \(64, 96\), .* asks for \(64, 128\)"
    ):
        Checkpoint(folder)


def test_integer_weights_are_named(folder: Path) -> None:
    name = "model.layers.0.mlp.down_proj.weight"
    edit_weights(
        folder / "model.safetensors", lambda tensors: tensors.update({name: tensors[name].to(torch.int8)})
    )
    with pytest.raises(CheckpointError, match=f"{name} is I8; needed is one of F32, F16, BF16"):
        Checkpoint(folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_named(folder: Path, value: float) -> None:
    def poison(tensors: dict[str, torch.Tensor]) -> None:
        tensors["model.norm.weight"][7] = value

    edit_weights(folder / "model.safetensors", poison)
    checkpoint = Checkpoint(folder)
    planned = {planned.name: planned for planned in checkpoint.plan}
    checkpoint.rows(planned["head"])
    with pytest.raises(
        CheckpointError, match=r"model.safetensors: tensor model.norm.weight holds NaN or infinity"
    ):
        checkpoint.rows(planned["norm"])


def test_large_finite_weights_are_accepted(folder: Path) -> None:
    """Their sum overflows float32, they don't."""
    edit_weights(folder / "model.safetensors", lambda tensors: tensors["model.norm.weight"].fill_(3e38))
    checkpoint = Checkpoint(folder)
    assert checkpoint.rows(checkpoint.plan[-2]).max() == pytest.approx(3e38)


@pytest.mark.parametrize("keep", [4, 100, 50_000])
def test_truncated_weights_are_refused(folder: Path, keep: int) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(
        CheckpointError, match=r"model.safetensors is truncated or damaged .*: fetch it again"
    ):
        Checkpoint(folder)


def test_corrupt_header_is_refused(folder: Path) -> None:
    path = folder / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[8:40] = b"\xff" * 32
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="is truncated or damaged"):
        Checkpoint(folder)


@pytest.mark.parametrize(
    "name", ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"]
)
def test_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=f"{name} is missing: a checkpoint is a folder"):
        Checkpoint(folder)


def test_missing_shard_is_named(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, sharded=True)
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"model-00002-of-00002.safetensors is missing"):
        Checkpoint(folder)


def test_index_that_names_the_wrong_shard(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, sharded=True)
    index = folder / "model.safetensors.index.json"
    where = json.loads(index.read_text())["weight_map"]
    edit_json(index, weight_map=where | {"lm_head.weight": "model-00001-of-00002.safetensors"})
    with pytest.raises(
        CheckpointError, match=r"00001-of-00002.safetensors: tensor lm_head.weight can't be read"
    ):
        Checkpoint(folder)
    edit_json(index, weight_map=["model.norm.weight"])
    with pytest.raises(CheckpointError, match="has no weight_map"):
        Checkpoint(folder)


def test_broken_json_is_named(folder: Path) -> None:
    (folder / "config.json").write_text('{"architectures": [')
    with pytest.raises(CheckpointError, match=r"config.json can't be read as JSON"):
        Checkpoint(folder)
    (folder / "config.json").write_text("[]")
    with pytest.raises(CheckpointError, match=r"config.json holds no JSON object"):
        Checkpoint(folder)


def test_generation_defaults(folder: Path) -> None:
    generation = Checkpoint(folder).generation
    assert generation.eos_token_ids == (EOS, EOT)
    assert generation.max_new_tokens == 512
    assert generation.sampling.model_dump() == {
        "temperature": 0.6,
        "top_k": 0,
        "top_p": 0.9,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "logit_bias": {},
    }


@pytest.mark.parametrize("changes", [{"temperature": 0.0}, {"top_p": 0.0}, {"top_k": 20, "min_p": 0.05}])
def test_all_of_the_models_own_sampling_is_read(folder: Path, changes: dict[str, float]) -> None:
    edit_json(folder / "generation_config.json", repetition_penalty=1.1, **changes)
    found = Checkpoint(folder).generation.sampling.model_dump()
    assert found | changes | {"repetition_penalty": 1.1} == found


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"temperature": -1}, "sampling.temperature: Input should be"),
        ({"top_p": 1.5}, "sampling.top_p: Input should be"),
        ({"min_p": 2}, "sampling.min_p: Input should be"),
        ({"repetition_penalty": 0}, "sampling.repetition_penalty: Input should be"),
        ({"max_new_tokens": 0}, "max_new_tokens: Input should be"),
        ({"eos_token_id": ["<eos>"]}, "eos_token_ids.0: Input should be"),
        ({"eos_token_id": []}, "eos_token_ids: Tuple should have at least 1"),
    ],
)
def test_generation_out_of_range_is_refused(folder: Path, changes: dict[str, Any], message: str) -> None:
    edit_json(folder / "generation_config.json", **changes)
    with pytest.raises(CheckpointError, match=f"generation_config.json: {message}"):
        Checkpoint(folder)


def test_generation_without_sampling_is_greedy(folder: Path) -> None:
    changes = {"do_sample": None, "eos_token_id": None, "max_new_tokens": 99, "repetition_penalty": 1.1}
    edit_json(folder / "generation_config.json", **changes)
    edit_json(folder / "config.json", eos_token_id=EOT)
    generation = Checkpoint(folder).generation
    assert generation.eos_token_ids == (EOT,)
    assert generation.max_new_tokens == 99
    assert generation.sampling.temperature == 0
    assert generation.sampling.repetition_penalty == 1.1


def test_a_model_that_never_ends_is_refused(folder: Path) -> None:
    (folder / "generation_config.json").unlink()
    edit_json(folder / "config.json", eos_token_id=None)
    with pytest.raises(CheckpointError, match="eos_token_ids"):
        Checkpoint(folder)


def test_rows_cross_the_borders_of_stacked_tensors(folder: Path) -> None:
    checkpoint = Checkpoint(folder)
    qkv = next(planned for planned in checkpoint.plan if planned.name == "layers.0.qkv")
    tensors = load_file(folder / "model.safetensors")
    stacked = torch.cat([tensors[f"model.layers.0.self_attn.{key}_proj.weight"] for key in "qkv"])
    assert torch.equal(checkpoint.rows(qkv), stacked)
    assert torch.equal(checkpoint.rows(qkv, 60, 100), stacked[60:100])
    assert torch.equal(checkpoint.rows(qkv, 120, 500), stacked[120:])
