"""Small random checkpoints in the real file format, of every architecture that the engine runs.

config.json in the manner of Llama 3.1, safetensors single or sharded, a byte-level BPE tokenizer with Llama
3's control tokens, and a chat template in its manner.
"""

import json
import math
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from lambda_image.engine.bundle.config import ModelConfig, parse_config

CONTROL = ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
BOS, EOS, EOT = 0, 1, 4
OMIT = object()  # a key of config.json that isn't written

LLAMA3_ROPE = {
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
    "rope_type": "llama3",
}

TEMPLATE = """\
{{- bos_token }}
{%- set today = strftime_now("%d %b %Y") if strftime_now is defined else "26 Jul 2024" %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content'] | trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{{- "Today: " + today + "\\n\\n" + system_message + "<|eot_id|>" }}
{%- for message in messages %}
    {%- if message['role'] not in ['user', 'assistant'] %}
        {{- raise_exception('roles other than user and assistant must come first') }}
    {%- endif %}
    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + message['content'] | trim }}
    {{- '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
"""

PROSE = [
    "The green city glittered at the end of the road, and nobody in it was in a hurry.",
    "“Who goes there?” asked the gatekeeper; 7 bells rang, then 10, then none.",
    "It's a story, isn't it? Yes: once upon a time, über alles, naïve façade, 東京, emoji 😀.",
]


def write_checkpoint(
    folder: Path,
    *,
    architecture: str = "LlamaForCausalLM",
    tied: bool = False,
    kv_heads: int = 2,
    llama3_rope: bool = False,
    sharded: bool = False,
    dtype: torch.dtype = torch.float32,
    context: int = 512,
    hidden: int = 64,
    inner: int = 96,
    layers: int = 2,
    heads: int = 4,
    head_dim: int = 16,
    vocabulary: int = 300,
    seed: int = 0,
    template_in_file: bool = False,
    **config: Any,
) -> Path:
    """Writes a checkpoint of random weights; returns `folder`.

    `config` overrides keys of config.json; `OMIT` leaves one out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = write_tokenizer(folder, vocabulary, template_in_file=template_in_file)
    settings = {
        "architectures": [architecture],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": BOS,
        "eos_token_id": [EOS, EOT],
        "head_dim": head_dim,
        "hidden_act": "silu",
        "hidden_size": hidden,
        "initializer_range": 0.02,
        "intermediate_size": inner,
        "max_position_embeddings": context,
        "mlp_bias": False,
        "model_type": architecture.removesuffix("ForCausalLM").lower(),
        "num_attention_heads": heads,
        "num_hidden_layers": layers,
        "num_key_value_heads": kv_heads,
        "pretraining_tp": 1,
        "rms_norm_eps": 1e-05,
        "rope_scaling": LLAMA3_ROPE if llama3_rope else None,
        "rope_theta": 500000.0,
        "tie_word_embeddings": tied,
        "torch_dtype": str(dtype).removeprefix("torch."),
        "transformers_version": "4.42.3",
        "use_cache": True,
        "vocab_size": vocabulary,
    } | config
    settings = {key: value for key, value in settings.items() if value is not OMIT}
    write_json(folder / "config.json", settings)
    write_json(
        folder / "generation_config.json",
        {
            "bos_token_id": BOS,
            "do_sample": True,
            "eos_token_id": [EOS, EOT],
            "temperature": 0.6,
            "top_p": 0.9,
        },
    )
    weights = random_weights(parse_config(settings), seed, dtype)
    if sharded:
        _write_shards(folder, weights)
    else:
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def random_weights(config: ModelConfig, seed: int, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Weights under Hugging Face's names, scaled so that attention isn't flat and logits spread."""
    generator = torch.Generator().manual_seed(seed)
    hidden, inner, vocabulary = config.hidden_size, config.intermediate_size, config.vocab_size
    queries = config.num_attention_heads * config.head_dim
    keys = config.num_key_value_heads * config.head_dim

    def normal(*shape: int) -> torch.Tensor:
        return (torch.randn(*shape, generator=generator) / math.sqrt(shape[-1])).to(dtype)

    def norm(width: int = hidden) -> torch.Tensor:
        return (1 + 0.2 * torch.randn(width, generator=generator)).to(dtype)

    def bias(width: int) -> torch.Tensor:
        return (0.5 * torch.randn(width, generator=generator)).to(dtype)

    weights = {"model.embed_tokens.weight": normal(vocabulary, hidden) * 4, "model.norm.weight": norm()}
    for index in range(config.num_hidden_layers):
        weights |= {
            f"model.layers.{index}.{name}.weight": tensor
            for name, tensor in {
                "input_layernorm": norm(),
                "self_attn.q_proj": normal(queries, hidden) * 2,
                "self_attn.k_proj": normal(keys, hidden) * 2,
                "self_attn.v_proj": normal(keys, hidden),
                "self_attn.o_proj": normal(hidden, queries),
                "post_attention_layernorm": norm(),
                "mlp.gate_proj": normal(inner, hidden),
                "mlp.up_proj": normal(inner, hidden),
                "mlp.down_proj": normal(hidden, inner),
            }.items()
        }
        attention = f"model.layers.{index}.self_attn"
        if config.qk_norm:
            weights |= {f"{attention}.{name}_norm.weight": norm(config.head_dim) for name in "qk"}
        if config.attention_bias:
            widths = {"q": queries, "k": keys, "v": keys}
            weights |= {f"{attention}.{name}_proj.bias": bias(width) for name, width in widths.items()}
        if config.output_bias:
            weights[f"{attention}.o_proj.bias"] = bias(hidden)
    if not config.tie_word_embeddings:
        weights["lm_head.weight"] = normal(vocabulary, hidden) * 2
    return weights


def write_tokenizer(folder: Path, vocabulary: int, *, template_in_file: bool = False) -> int:
    """Trains a BPE of at most `vocabulary` tokens on a few sentences; returns how many it has."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=CONTROL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(PROSE, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<|begin_of_text|> $A", special_tokens=[("<|begin_of_text|>", BOS)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "bos_token": "<|begin_of_text|>",
        "clean_up_tokenization_spaces": False,
        "eos_token": "<|eot_id|>",
        "model_input_names": ["input_ids", "attention_mask"],
        "model_max_length": 131072,
        "tokenizer_class": "PreTrainedTokenizerFast",
    }
    if template_in_file:
        (folder / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
    else:
        settings["chat_template"] = TEMPLATE
    write_json(folder / "tokenizer_config.json", settings)
    return tokenizer.get_vocab_size()


def write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2), encoding="utf-8")


def edit_json(path: Path, **changes: Any) -> None:
    """Sets keys of a JSON object in place; None removes one."""
    value = json.loads(path.read_text(encoding="utf-8")) | changes
    write_json(path, {key: item for key, item in value.items() if item is not None})


def _write_shards(folder: Path, weights: dict[str, torch.Tensor]) -> None:
    names = list(weights)
    shards = [names[: len(names) // 2], names[len(names) // 2 :]]
    where: dict[str, str] = {}
    for number, shard in enumerate(shards, 1):
        file = f"model-{number:05}-of-{len(shards):05}.safetensors"
        save_file({name: weights[name] for name in shard}, folder / file, metadata={"format": "pt"})
        where |= dict.fromkeys(shard, file)
    size = sum(tensor.nbytes for tensor in weights.values())
    write_json(
        folder / "model.safetensors.index.json", {"metadata": {"total_size": size}, "weight_map": where}
    )
