"""The trained model as a Hugging Face checkpoint, written so that a reader never sees half of it."""

import json
import os
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer

from tools.demo_model import tokenizer as tok
from tools.demo_model.model import Llama


def export(model: Llama, tokenizer: Tokenizer, folder: Path) -> None:
    """Write config, weights (bfloat16), tokenizer and generation settings to `folder`, each by a rename, the
    weights last."""
    s = model.shape
    eos = [tokenizer.token_to_id(tok.EOT), tokenizer.token_to_id(tok.EOS)]
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": s.vocab,
        "hidden_size": s.hidden,
        "intermediate_size": s.intermediate,
        "num_hidden_layers": s.layers,
        "num_attention_heads": s.heads,
        "num_key_value_heads": s.kv_heads,
        "head_dim": s.head_dim,
        "hidden_act": "silu",
        "max_position_embeddings": s.max_positions,
        "rms_norm_eps": s.eps,
        "rope_theta": s.rope_theta,
        "tie_word_embeddings": True,
        "attention_bias": False,
        "mlp_bias": False,
        "bos_token_id": tokenizer.token_to_id(tok.BOS),
        "eos_token_id": eos,
        "pad_token_id": tokenizer.token_to_id(tok.PAD),
        "torch_dtype": "bfloat16",
    }
    generation = {
        "bos_token_id": config["bos_token_id"],
        "eos_token_id": eos,
        "pad_token_id": config["pad_token_id"],
        "do_sample": True,
        "temperature": 0.7,
        "top_p": 0.9,
        "max_new_tokens": 220,
    }
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / ".part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    tok.save(tokenizer, part, s.max_positions)
    (part / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    (part / "generation_config.json").write_text(json.dumps(generation, indent=2) + "\n", encoding="utf-8")
    weights = {name: p.detach().to(torch.bfloat16).contiguous() for name, p in model.state_dict().items()}
    save_file(weights, part / "model.safetensors", metadata={"format": "pt"})
    (part / "model.safetensors").chmod(0o644)  # safetensors writes for the owner alone
    for file in sorted(part.iterdir(), key=lambda f: f.suffix == ".safetensors"):
        os.replace(file, folder / file.name)
    part.rmdir()
